#include "gpu/upload.h"

#include <algorithm>
#include <cstring>

namespace kexa {
namespace {

constexpr uint64_t kBlockBytes = 16 << 20;

}  // namespace

Upload::Upload(Gpu& gpu, uint64_t bytes, std::function<void(uint64_t)> on_sent)
    : gpu_(gpu),
      block_bytes_(std::min(kBlockBytes, std::max<uint64_t>(1 << 16, (bytes + 15) / 16 * 16))),
      on_sent_(std::move(on_sent)) {}

void Upload::begin(const Buffer& to) {
  to_ = &to;
  to_at_ = 0;
  run_at_ = used_;
}

void Upload::end() {
  copy_run();
  to_ = nullptr;
}

void Upload::add(std::span<const std::byte> data, size_t zeros) {
  for (size_t left = data.size() + zeros; left;) {
    std::byte* at = room();
    const size_t now = std::min<uint64_t>(left, block_bytes_ - used_), copied = std::min(now, data.size());
    if (copied) std::memcpy(at, data.data(), copied);
    std::memset(at + copied, 0, now - copied);
    data = data.subspan(copied);
    used_ += now;
    left -= now;
  }
}

void Upload::finish() {
  if (used_) send();
}

// The next free byte of the current block. Waits until the GPU has given the block back.
std::byte* Upload::room() {
  if (used_ == block_bytes_) {
    copy_run();
    send();
  }
  Block& block = blocks_[current_];
  if (!block.buffer.handle) {
    block.buffer = gpu_.create_mapped_buffer("upload", block_bytes_);
    block.mapped = gpu_.mapped(block.buffer);
  } else if (!block.mapped) {
    const bool is_mapped = gpu_.wait(block.mapping);
    gpu_.check();
    block.mapped = is_mapped ? gpu_.mapped(block.buffer) : nullptr;
  }
  if (!block.mapped) throw Error("KEXA_OUT_OF_MEMORY", "the GPU's driver has no memory left for uploads");
  return block.mapped + used_;
}

// Encodes the copy of the data added since the last copy.
void Upload::copy_run() {
  if (used_ == run_at_) return;
  gpu_.copy(blocks_[current_].buffer, run_at_, *to_, to_at_, used_ - run_at_);
  to_at_ += used_ - run_at_;
  run_at_ = used_;
}

void Upload::send() {
  Block& block = blocks_[current_];
  gpu_.unmap(block.buffer);
  block.mapped = nullptr;
  gpu_.submit();
  block.mapping = gpu_.map(block.buffer, WGPUMapMode_Write, block.buffer.bytes);
  current_ = (current_ + 1) % blocks_.size();
  sent_ += used_;
  used_ = run_at_ = 0;
  on_sent_(sent_);
}

}  // namespace kexa

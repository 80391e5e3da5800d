// Brings large amounts of data to the GPU.
#pragma once

#include <array>
#include <functional>

#include "gpu/gpu.h"

namespace kexa {

// A ring of blocks in memory that both sides see. Data is written into a block once, the GPU copies it, and then the
// block is used again. While the GPU copies one block, the next is filled.
class Upload {
 public:
  // `bytes` is roughly the total. `on_sent` is called after each block with the bytes handed over so far. It may throw.
  Upload(Gpu& gpu, uint64_t bytes, std::function<void(uint64_t)> on_sent);
  Upload(const Upload&) = delete;

  // Data that is added until end() goes to `to`, from its start on.
  void begin(const Buffer& to);
  void end();
  // Adds data and then zeros; both are multiples of four bytes. Throws KEXA_DEVICE_LOST.
  void add(std::span<const std::byte> data, size_t zeros = 0);
  // Hands over the rest. Later submits see all of the data.
  void finish();

 private:
  struct Block {
    Buffer buffer;
    std::byte* mapped = nullptr;  // null while the GPU has the block
    Mapping mapping;
  };

  std::byte* room();
  void copy_run();
  void send();

  Gpu& gpu_;
  const uint64_t block_bytes_;
  const std::function<void(uint64_t)> on_sent_;
  std::array<Block, 4> blocks_;
  size_t current_ = 0;
  uint64_t used_ = 0, sent_ = 0;     // bytes in the current block; bytes in all blocks before it
  const Buffer* to_ = nullptr;       // the target of the run that is being written
  uint64_t to_at_ = 0, run_at_ = 0;  // where the run begins, in the target and in the block
};

}  // namespace kexa

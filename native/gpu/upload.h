// Large amounts of data on their way to the GPU.
#pragma once

#include <array>
#include <functional>

#include "gpu/gpu.h"

namespace kexa {

// A ring of blocks in memory that both sides see: data is written there once, copied by the GPU, and the block is used
// again when that is done. While the GPU copies one, the next is filled.
class Upload {
 public:
  // `bytes` is about how many there will be. `on_sent` is told after each block how many have been handed over; it may
  // throw.
  Upload(Gpu& gpu, uint64_t bytes, std::function<void(uint64_t)> on_sent);
  Upload(const Upload&) = delete;

  // What is added until end() goes to the start of `to`.
  void begin(const Buffer& to);
  void end();
  // Data, then zeros; both multiples of four bytes. Throws KEXA_DEVICE_LOST.
  void add(std::span<const std::byte> data, size_t zeros = 0);
  // Hands over what is left. Later submits see all of it.
  void finish();

 private:
  struct Block {
    Buffer buffer;
    std::byte* mapped = nullptr;  // null while the GPU has it
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
  uint64_t used_ = 0, sent_ = 0;     // of the current block; of all before it
  const Buffer* to_ = nullptr;       // where the run that is being written goes
  uint64_t to_at_ = 0, run_at_ = 0;  // the run's start there and in the block
};

}  // namespace kexa

#include "checks/cache_image.h"

#include <cstring>

#include "plan/gpu_plan.h"

namespace kexa {
namespace {

// Calls copy(at, stored_at, bytes) for each run of a head's bytes that is contiguous on both devices: `at` is the place
// on the CPU, `stored_at` on the GPU. Codes of q4_1 also differ in order: see turn_nibbles().
template <typename Copy>
void each_run(const KvLayout& kv, const Copy& copy) {
  const int blocks = kv.head_elements() / facts_of(kv.type).block_elements;
  switch (kv.type) {
    case Type::kQ8_0:
      for (int b = 0; b < blocks; ++b) copy(b * 34, blocks * 32 + b * 2, 2), copy(b * 34 + 2, b * 32, 32);
      return;
    case Type::kQ4_1:
      for (int b = 0; b < blocks; ++b) copy(b * 20, blocks * 16 + b * 4, 4), copy(b * 20 + 4, b * 16, 16);
      return;
    default:
      copy(0, 0, int(kv.head_bytes()));
  }
}

// Byte i of a block holds elements i and i + 16 on the CPU, and elements 2i and 2i + 1 on the GPU.
void turn_nibbles(std::byte* codes, bool is_to_gpu) {
  std::byte from[16], to[16]{};
  std::memcpy(from, codes, sizeof from);
  for (int i = 0; i < 32; ++i) {
    const int cpu_byte = i % 16, cpu_shift = i / 16 * 4, gpu_byte = i / 2, gpu_shift = i % 2 * 4;
    const auto code = from[is_to_gpu ? cpu_byte : gpu_byte] >> (is_to_gpu ? cpu_shift : gpu_shift) & std::byte(15);
    to[is_to_gpu ? gpu_byte : cpu_byte] |= code << (is_to_gpu ? gpu_shift : cpu_shift);
  }
  std::memcpy(codes, to, sizeof to);
}

}  // namespace

std::vector<std::byte> to_gpu_cache(const KvLayout& kv, std::span<const std::byte> heads) {
  const size_t head = size_t(kv.head_bytes()), stored = size_t(gpu_cache_head_bytes(kv));
  std::vector<std::byte> image(heads.size() / head * stored);
  for (size_t i = 0; i < heads.size() / head; ++i)
    each_run(kv, [&](int at, int stored_at, int bytes) {
      std::byte* to = &image[i * stored + stored_at];
      std::memcpy(to, &heads[i * head + at], size_t(bytes));
      if (kv.type == Type::kQ4_1 && bytes == 16) turn_nibbles(to, true);
    });
  return image;
}

std::vector<std::byte> from_gpu_cache(const KvLayout& kv, std::span<const std::byte> heads) {
  const size_t head = size_t(kv.head_bytes()), stored = size_t(gpu_cache_head_bytes(kv));
  std::vector<std::byte> image(heads.size() / stored * head);
  for (size_t i = 0; i < heads.size() / stored; ++i)
    each_run(kv, [&](int at, int stored_at, int bytes) {
      std::byte* to = &image[i * head + at];
      std::memcpy(to, &heads[i * stored + stored_at], size_t(bytes));
      if (kv.type == Type::kQ4_1 && bytes == 16) turn_nibbles(to, false);
    });
  return image;
}

}  // namespace kexa

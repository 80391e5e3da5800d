#include "model/synthetic.h"

#include <cstring>

#include "quant/block_types.h"

namespace kexa {
namespace {

// The i-th word of a row, as fill.wgsl makes it.
uint32_t random_word(uint32_t seed, uint32_t row, uint32_t i) {
  uint32_t bits = seed + row * 0x9e3779b9u + i * 0x85ebca6bu;
  bits = (bits ^ (bits >> 16)) * 0x7feb352du;
  bits = (bits ^ (bits >> 15)) * 0x846ca68bu;
  return bits ^ (bits >> 16);
}

}  // namespace

SyntheticScale synthetic_scale(Type type) {
  return with_block(type, [](auto block) { return decltype(block)::kSynthetic; });
}

SyntheticWord synthetic_word(Type type) {
  switch (type) {
    case Type::kF32:
      return {0x807fffff, 0x3c800000};
    case Type::kF16:
      return {0x83ff83ff, 0x24002400};
    case Type::kBf16:
      return {0x807f807f, 0x3c803c80};
    default:
      return {0xffffffff, 0};
  }
}

uint32_t synthetic_seed(std::string_view tensor) {
  uint32_t hash = 2166136261u;
  for (const char c : tensor) hash = (hash ^ uint8_t(c)) * 16777619u;
  return hash;
}

void make_synthetic_row(Type type, uint32_t seed, int row, int columns, std::byte* to) {
  const int64_t bytes = bytes_of(type, columns);
  const SyntheticWord word = synthetic_word(type);
  for (int64_t at = 0; at < bytes; at += 4) {
    const uint32_t bits = (random_word(seed, uint32_t(row), uint32_t(at / 4)) & word.kept) | word.given;
    std::memcpy(to + at, &bits, size_t(bytes - at < 4 ? bytes - at : 4));
  }
  if (!is_quantized(type)) return;
  const SyntheticScale scale = synthetic_scale(type);
  for (int64_t block = 0; block < bytes; block += facts_of(type).block_bytes)
    std::memcpy(to + block + scale.at, &scale.bits, size_t(scale.bytes));
}

}  // namespace kexa

#include "model/synthetic.h"

#include <cstring>
#include <string>

#include "base/error.h"

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
  // f16 scales are powers of two, no less than the smallest normal one; minima make up for codes that have no sign.
  switch (type) {
    case Type::kQ8_0:
    case Type::kIq4Nl:
      return {0, 2, 0x0c00};
    case Type::kQ4_0:
      return {0, 2, 0x1c00};
    case Type::kQ4_1:
      return {0, 4, 0xa7801c00};  // the minimum is -7.5 scales
    case Type::kQ5_0:
      return {0, 2, 0x1800};
    case Type::kQ5_1:
      return {0, 4, 0xa7c01800};  // -15.5 scales
    case Type::kQ2K:
      return {80, 4, 0x16001400};  // 1.5 scales
    case Type::kQ3K:
      return {108, 2, 0x1000};
    case Type::kQ4K:
      return {0, 4, 0x0f800400};  // 7.5 scales
    case Type::kQ5K:
      return {0, 4, 0x13c00400};  // 15.5 scales
    case Type::kQ6K:
      return {208, 2, 0x0400};
    case Type::kIq2Xxs:
    case Type::kIq2Xs:
      return {0, 2, 0x1000};
    case Type::kIq3Xxs:
      return {0, 2, 0x0800};
    case Type::kIq4Xs:
      return {0, 2, 0x0400};
    case Type::kMxfp4:
      return {0, 1, 0x78};
    default:
      throw Error("KEXA_INTERNAL", "no blocks hold " + std::string(type_name(type)));
  }
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

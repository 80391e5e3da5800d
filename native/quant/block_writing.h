// How the types in quant/types write a block: the pieces that several of them share.
#pragma once

#include <array>

#include "quant/fit.h"

namespace kexa::types {

using fit::NormalLevels;
using fit::WholeLevels;
using fit::Wide;

constexpr int kLargeBlock = 256;
constexpr int kSmallBlock = 32;

KEXA_INLINE void put_f16(std::byte* to, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(to, &bits, sizeof bits);
}

KEXA_INLINE void put_u32(std::byte* to, uint32_t value) { std::memcpy(to, &value, sizeof value); }

// Writes the whole numbers of a block with `offset` added.
template <int V>
KEXA_INLINE void whole_numbers(const Wide* q, int offset, uint8_t* to) {
  for (int i = 0; i < V; ++i) {
    float wide[kLanes];
    fit::store(wide, q[i]);
    for (int lane = 0; lane < kLanes; ++lane) to[i * kLanes + lane] = uint8_t(int(wide[lane]) + offset);
  }
}

template <int V>
KEXA_INLINE void load_block(Wide* x, const float* from) {
  for (int i = 0; i < V; ++i) fit::load(x[i], from + i * kLanes);
}

// The place of each of NormalLevels' values in its table, by value + 128.
constexpr auto kNormalIndex = [] {
  std::array<uint8_t, 256> index{};
  for (int i = 0; i < NormalLevels::kCount; ++i) index[NormalLevels::kValues[i] + 128] = uint8_t(i);
  return index;
}();

KEXA_INLINE void normal_indices(const Wide* q, int vectors, uint8_t* to) {
  for (int i = 0; i < vectors; ++i)
    for (int lane = 0; lane < kLanes; ++lane) to[i * kLanes + lane] = kNormalIndex[int(q[i][lane]) + 128];
}

// Puts element i into the low half of byte i, and element i + 16 into the high half.
KEXA_INLINE void put_halves(const uint8_t* q, std::byte* to) {
  for (int i = 0; i < 16; ++i) to[i] = std::byte((q[i] & 15) | ((q[i + 16] & 15) << 4));
}

// Puts the fifth bits of 32 codes, then their lower four bits.
KEXA_INLINE void put_fives(const uint8_t* whole, std::byte* to) {
  uint32_t fifth = 0;
  for (int i = 0; i < kSmallBlock; ++i) fifth |= uint32_t{whole[i]} >> 4 << i;
  put_u32(to, fifth);
  put_halves(whole, to + 4);
}

// Puts eight scales and eight minima of 6 bits into twelve bytes, as q4_k and q5_k have them.
KEXA_INLINE void put_sixes(const fit::AffineBlock<2>& block, std::byte* to) {
  for (int r = 0; r < 4; ++r) {
    const int scale = int(block.run_scale[r]), scale_after = int(block.run_scale[r + 4]);
    const int least = int(block.run_least[r]), least_after = int(block.run_least[r + 4]);
    to[r] = std::byte(scale | (scale_after >> 4 << 6));
    to[r + 4] = std::byte(least | (least_after >> 4 << 6));
    to[r + 8] = std::byte((scale_after & 15) | ((least_after & 15) << 4));
  }
}

// Puts 256 codes of 4 bits: 32 bytes have 64 elements, the first 32 in the low halves.
KEXA_INLINE void put_runs_of_halves(const uint8_t* q, std::byte* to) {
  for (int i = 0; i < 128; ++i) {
    const uint8_t* at = q + i / 32 * 64 + i % 32;
    to[i] = std::byte((at[0] & 15) | ((at[32] & 15) << 4));
  }
}

}  // namespace kexa::types

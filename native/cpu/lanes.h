// How the CPU device reads blocks of weights: 16 elements at a time, in registers. Each type is a struct in cpu/lanes:
// - prepare(block) computes the block's scales once;
// - load(lanes, block, step) reads the 16 elements from 16 * step on;
// - Integers, in types that are multiplied by rounded activations, does the same in whole numbers (integer_lanes.h).
// The values are those of dequantize() to the bit. All of this is compiled once for each instruction set, like
// base/vector.h. This file has what several types share.
#pragma once

#include "base/vector.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

KEXA_INLINE void load_bytes(U8x16& bytes, const uint8_t* from) { std::memcpy(&bytes, from, sizeof bytes); }
KEXA_INLINE uint32_t four_bytes(const uint8_t* from) {
  uint32_t bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return bytes;
}
KEXA_INLINE float half_at(const uint8_t* from) {
  uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return half_to_float(bits);
}
KEXA_INLINE float float_at(const uint8_t* from) {
  float value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
KEXA_INLINE U8x16 bytes_of_words(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  typedef uint32_t U32x4 __attribute__((vector_size(16)));
  return (U8x16)U32x4{a, b, c, d};
}

// Reads the lower halves of 16 bytes, or their upper halves.
KEXA_INLINE void load_nibbles(U8x16& codes, const uint8_t* from, int upper) {
  load_bytes(codes, from);
  codes = upper ? codes >> 4 : codes & 15;
}

// Replaces each code, from 0 to 15, by values[code].
KEXA_INLINE void look_up(U8x16& codes, const std::array<int8_t, 16>& values) {
  U8x16 table;
  std::memcpy(&table, &values, sizeof table);
#if defined(__SSSE3__)
  codes = (U8x16)_mm_shuffle_epi8((__m128i)table, (__m128i)codes);
#elif defined(__aarch64__)
  codes = (U8x16)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)codes);
#else
  for (int i = 0; i < kLanes; ++i) codes[i] = table[codes[i]];
#endif
}

// The size of a type's blocks.
template <Type kOwn>
struct BlockLanes {
  static constexpr int kElements = facts_of(kOwn).block_elements, kBytes = facts_of(kOwn).block_bytes;
};

// Returns a byte for each of 16 bits: 255 where it is set, else 0.
KEXA_INLINE U8x16 bytes_of_bits(uint32_t bits) {
  typedef uint16_t U16x8 __attribute__((vector_size(16)));
  constexpr U8x16 kBit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const U8x16 both = (U8x16)(U16x8{} + uint16_t(bits));
  const U8x16 spread = __builtin_shufflevector(both, both, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  return (U8x16)((spread & kBit) != 0);
}

// Adds fifth bits to codes of 4 bits. The lower half of `high` has the 16 bits.
KEXA_INLINE U8x16 with_fifth_bits(const U8x16& codes, uint32_t high) { return codes | (bytes_of_bits(high) & 16); }

// Reads sixteen elements: two grid entries of a byte for each magnitude, and seven bits of signs for each entry.
KEXA_INLINE void load_signed(F32x16& lanes, uint64_t first, uint64_t second, uint32_t first_signs,
                             uint32_t second_signs) {
  typedef uint64_t U64x2 __attribute__((vector_size(16)));
  const U8x16 magnitudes = (U8x16)U64x2{first, second};
  const U8x16 minus = (U8x16)U64x2{kIqSignBytes.of[first_signs & 127], kIqSignBytes.of[second_signs & 127]};
  to_signed_floats(lanes, (magnitudes ^ minus) - minus);
}

// Reads sixteen elements like load_signed(), with a whole byte of signs for each entry.
KEXA_INLINE void load_signed_by(F32x16& lanes, uint64_t first, uint64_t second, uint32_t first_signs,
                                uint32_t second_signs) {
  typedef uint64_t U64x2 __attribute__((vector_size(16)));
  const U8x16 magnitudes = (U8x16)U64x2{first, second}, minus = bytes_of_bits(first_signs | second_signs << 8);
  to_signed_floats(lanes, (magnitudes ^ minus) - minus);
}

}  // namespace kexa::KEXA_SET

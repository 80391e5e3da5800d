// Blocks of GGUF's types, 16 elements at a time in registers: what the CPU device's products read. Each type is a
// struct with what a block's scales become once (prepare) and 16 elements of it (load, `step` counts them). The values
// are those of dequantize.h to the bit, where each type's layout is told. Compiled once for each instruction set, like
// base/vector.h.
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
KEXA_INLINE U8x16 bytes_of_words(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  typedef uint32_t U32x4 __attribute__((vector_size(16)));
  return (U8x16)U32x4{a, b, c, d};
}

// The lower halves of 16 bytes, or their upper ones.
KEXA_INLINE void load_nibbles(U8x16& codes, const uint8_t* from, int upper) {
  load_bytes(codes, from);
  codes = upper ? codes >> 4 : codes & 15;
}

// values[code], of codes below 16.
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

// Blocks of 32: one scale, and for some a sum. Step 0 is the lower halves of 16 bytes, step 1 their upper ones.
struct Q8_0Lanes {
  static constexpr int kElements = 32, kBytes = 34;
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_bytes(codes, block + 2 + step * kLanes);
    to_signed_floats(lanes, codes);
    lanes *= d;
  }
};

struct Q4_0Lanes {
  static constexpr int kElements = 32, kBytes = 18;
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 2, step);
    to_signed_floats(lanes, codes - 8);
    lanes *= d;
  }
};

struct Q4_1Lanes {
  static constexpr int kElements = 32, kBytes = 20;
  float d, m;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block), m = half_at(block + 2); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 4, step);
    to_floats(lanes, codes);
    lanes = lanes * d + m;
  }
};

// Codes of 4 bits with their fifth bits, of which `high` has 16 in its lower half.
KEXA_INLINE U8x16 with_fifth_bits(const U8x16& codes, uint32_t high) {
  typedef uint16_t U16x8 __attribute__((vector_size(16)));
  constexpr U8x16 kBit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const U8x16 both = (U8x16)(U16x8{} + uint16_t(high));
  const U8x16 bits = __builtin_shufflevector(both, both, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const U8x16 is_set = (U8x16)((bits & kBit) != 0);
  return codes | (is_set & 16);
}

struct Q5_0Lanes {
  static constexpr int kElements = 32, kBytes = 22;
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 6, step);
    to_signed_floats(lanes, with_fifth_bits(codes, four_bytes(block + 2) >> (step * kLanes)) - 16);
    lanes *= d;
  }
};

struct Q5_1Lanes {
  static constexpr int kElements = 32, kBytes = 24;
  float d, m;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block), m = half_at(block + 2); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 8, step);
    to_signed_floats(lanes, with_fifth_bits(codes, four_bytes(block + 4) >> (step * kLanes)));
    lanes = lanes * d + m;
  }
};

struct Iq4NlLanes {
  static constexpr int kElements = 32, kBytes = 18;
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 2, step);
    look_up(codes, kIq4Values);
    to_signed_floats(lanes, codes);
    lanes *= d;
  }
};

struct Mxfp4Lanes {
  static constexpr int kElements = 32, kBytes = 17;
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_of_e8m0(block[0]); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 1, step);
    look_up(codes, kMxfp4Values);
    to_signed_floats(lanes, codes);
    lanes *= d;
  }
};

// Blocks of 256: the scales of all groups are made at once.
struct Q2KLanes {
  static constexpr int kElements = 256, kBytes = 84;
  float scale[16], min[16];
  KEXA_INLINE void prepare(const uint8_t* block) {
    U8x16 packed;
    load_bytes(packed, block);
    F32x16 scales, mins;
    to_floats(scales, packed & 15), to_floats(mins, packed >> 4);
    store(scale, scales * half_at(block + 80)), store(min, mins * half_at(block + 82));
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_bytes(codes, block + 16 + step / 8 * 32 + step % 2 * 16);
    to_floats(lanes, codes >> (step % 8 / 2 * 2) & 3);
    lanes = lanes * scale[step] - min[step];
  }
};

struct Q3KLanes {
  static constexpr int kElements = 256, kBytes = 110;
  float scale[16];
  static KEXA_INLINE U8x16 scales(const uint8_t* block) {
    const uint32_t a = four_bytes(block + 96), b = four_bytes(block + 100), high = four_bytes(block + 104);
    constexpr uint32_t kLow = 0x0f0f0f0f, kTwo = 0x03030303;
    const U8x16 packed =
        bytes_of_words((a & kLow) | (high & kTwo) << 4, (b & kLow) | (high >> 2 & kTwo) << 4,
                       (a >> 4 & kLow) | (high >> 4 & kTwo) << 4, (b >> 4 & kLow) | (high >> 6 & kTwo) << 4);
    return packed - 32;
  }
  static KEXA_INLINE U8x16 codes(const uint8_t* block, int step) {
    U8x16 low, high;
    load_bytes(low, block + 32 + step / 8 * 32 + step % 2 * 16);
    load_bytes(high, block + step % 2 * 16);
    return ((low >> (step % 8 / 2 * 2) & 3) | (high >> (step / 2) & 1) << 2) - 4;
  }
  KEXA_INLINE void prepare(const uint8_t* block) {
    F32x16 factors;
    to_signed_floats(factors, scales(block));
    store(scale, factors * half_at(block + 108));
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    to_signed_floats(lanes, codes(block, step));
    lanes *= scale[step];
  }
};

struct Q4KLanes {
  static constexpr int kElements = 256, kBytes = 144;
  float scale_min[16];  // 8 scales, then 8 minima
  static KEXA_INLINE U8x16 scales_and_minima(const uint8_t* block) {
    const uint32_t a = four_bytes(block + 4), b = four_bytes(block + 8), c = four_bytes(block + 12);
    constexpr uint32_t kLow = 0x0f0f0f0f, kSix = 0x3f3f3f3f, kTwo = 0x30303030;
    return bytes_of_words(a & kSix, (c & kLow) | (a >> 2 & kTwo), b & kSix, (c >> 4 & kLow) | (b >> 2 & kTwo));
  }
  KEXA_INLINE void prepare(const uint8_t* block) {
    F32x16 factors;
    to_floats(factors, scales_and_minima(block));
    const float d = half_at(block), dmin = half_at(block + 2);
    store(scale_min, factors * two_halves(d, dmin));
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 16 + step / 4 * 32 + step % 2 * 16, step / 2 % 2);
    to_floats(lanes, codes);
    lanes = lanes * scale_min[step / 2] - scale_min[8 + step / 2];
  }
};

struct Q5KLanes : Q4KLanes {
  static constexpr int kBytes = 176;
  static KEXA_INLINE U8x16 codes(const uint8_t* block, int step) {
    U8x16 low, high;
    load_nibbles(low, block + 48 + step / 4 * 32 + step % 2 * 16, step / 2 % 2);
    load_bytes(high, block + 16 + step % 2 * 16);
    return low | (high >> (step / 2) & 1) << 4;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    to_floats(lanes, codes(block, step));
    lanes = lanes * scale_min[step / 2] - scale_min[8 + step / 2];
  }
};

struct Q6KLanes {
  static constexpr int kElements = 256, kBytes = 210;
  float scale[16];
  KEXA_INLINE void prepare(const uint8_t* block) {
    U8x16 packed;
    load_bytes(packed, block + 192);
    F32x16 scales;
    to_signed_floats(scales, packed);
    store(scale, scales * half_at(block + 208));
  }
  static KEXA_INLINE U8x16 codes(const uint8_t* block, int step) {
    const int half = step / 8, in_half = step % 8;
    U8x16 low, high;
    load_nibbles(low, block + half * 64 + in_half % 4 * 16, in_half / 4);
    load_bytes(high, block + 128 + half * 32 + in_half % 2 * 16);
    return (low | (high >> (in_half / 2 * 2) & 3) << 4) - 32;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    to_signed_floats(lanes, codes(block, step));
    lanes *= scale[step];
  }
};

struct Iq4XsLanes {
  static constexpr int kElements = 256, kBytes = 136;
  float scale[8];
  static KEXA_INLINE int scale_of(const uint8_t* block, int group) {
    const uint32_t high = four_bytes(block) >> 16, low = four_bytes(block + 4);
    return int((low >> (group * 4) & 15) | (high >> (group * 2) & 3) << 4) - 32;
  }
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 8; ++group) scale[group] = d * float(scale_of(block, group));
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 8 + step / 2 * 16, step % 2);
    look_up(codes, kIq4Values);
    to_signed_floats(lanes, codes);
    lanes *= scale[step / 2];
  }
};

// Sixteen magnitudes out of a grid, with their signs.
KEXA_INLINE void load_signed(F32x16& lanes, uint64_t first, uint64_t second, uint32_t first_signs,
                             uint32_t second_signs) {
  typedef uint64_t U64x2 __attribute__((vector_size(16)));
  const U8x16 magnitudes = (U8x16)U64x2{first, second};
  const U8x16 minus = (U8x16)U64x2{kIqSignBytes.of[first_signs & 127], kIqSignBytes.of[second_signs & 127]};
  to_signed_floats(lanes, (magnitudes ^ minus) - minus);
}

struct Iq2XxsLanes {
  static constexpr int kElements = 256, kBytes = 66;
  float scale[8];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 8; ++group)
      scale[group] = d * (0.5f + float(four_bytes(block + 6 + group * 8) >> 28)) * 0.25f;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint8_t* group = block + 2 + step / 2 * 8;
    const uint32_t signs = four_bytes(group + 4) >> (step % 2 * 14);
    const uint8_t* at = group + step % 2 * 2;
    load_signed(lanes, kIq2XxsBytes.of[at[0]], kIq2XxsBytes.of[at[1]], signs, signs >> 7);
    lanes *= scale[step / 2];
  }
};

struct Iq2XsLanes {
  static constexpr int kElements = 256, kBytes = 74;
  float scale[16];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 16; ++group)
      scale[group] = d * (0.5f + float(block[66 + group / 2] >> (group % 2 * 4) & 15)) * 0.25f;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint32_t two = four_bytes(block + 2 + step * 4);
    load_signed(lanes, kIq2XsBytes.of[two & 511], kIq2XsBytes.of[two >> 16 & 511], two >> 9, two >> 25);
    lanes *= scale[step];
  }
};

struct Iq3XxsLanes {
  static constexpr int kElements = 256, kBytes = 98;
  float scale[8];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 8; ++group)
      scale[group] = d * (0.5f + float(four_bytes(block + 66 + group * 4) >> 28)) * 0.5f;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint32_t signs = four_bytes(block + 66 + step / 2 * 4) >> (step % 2 * 14);
    const uint8_t* at = block + 2 + step * 4;
    const auto two = [](const uint8_t* from) KEXA_INLINE_CALL {
      return kIq3XxsBytes.of[from[0]] | uint64_t{kIq3XxsBytes.of[from[1]]} << 32;
    };
    load_signed(lanes, two(at), two(at + 2), signs, signs >> 7);
    lanes *= scale[step / 2];
  }
};

}  // namespace kexa::KEXA_SET

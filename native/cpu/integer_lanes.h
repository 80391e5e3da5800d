// Blocks of GGUF's types as 16-bit integers, 16 elements at a time in registers, for products with rounded activations.
// A block's elements are integers times one number, or those of each 32 are; the scales of smaller groups are integers
// and multiplied in. Compiled once for each instruction set, like lanes.h.
#pragma once

#include "cpu/lanes.h"

namespace kexa::KEXA_SET {

// Vectors of 16 integers of 16 bits, and of their 8 sums: with AVX-512 too of 256 bits.
#if defined(__AVX2__)
constexpr int kIntegerWidth = 16;
#else
constexpr int kIntegerWidth = 8;
#endif
constexpr int kIntegerParts = kLanes / kIntegerWidth;
constexpr int kSumLanes = kLanes / 2;
typedef int16_t I16Part __attribute__((vector_size(kIntegerWidth * 2)));
typedef int32_t SumPart __attribute__((vector_size(kIntegerWidth * 2)));
typedef float FloatSumPart __attribute__((vector_size(kIntegerWidth * 2)));

struct I16x16 {
  I16Part part[kIntegerParts];
};
struct I32x8 {
  SumPart part[kIntegerParts];
};
struct F32x8 {
  FloatSumPart part[kIntegerParts];
};

// Part by part: as a whole GCC copies them through memory.
template <typename Vector, typename Element>
KEXA_INLINE void load_parts(Vector& lanes, const Element* from) {
#pragma GCC unroll 2
  for (int i = 0; i < kIntegerParts; ++i)
    std::memcpy(&lanes.part[i], from + i * sizeof lanes.part[i] / sizeof(Element), sizeof lanes.part[i]);
}
template <typename Vector, typename Element>
KEXA_INLINE void store_parts(Element* to, const Vector& lanes) {
#pragma GCC unroll 2
  for (int i = 0; i < kIntegerParts; ++i)
    std::memcpy(to + i * sizeof lanes.part[i] / sizeof(Element), &lanes.part[i], sizeof lanes.part[i]);
}

// sums[j] += a[2 j] * b[2 j] + a[2 j + 1] * b[2 j + 1]
KEXA_INLINE void add_pairs(I32x8& sums, const I16x16& a, const I16x16& b) {
#if defined(__AVX512VNNI__)
  sums.part[0] = (SumPart)_mm256_dpwssd_epi32((__m256i)sums.part[0], (__m256i)a.part[0], (__m256i)b.part[0]);
#elif defined(__AVX2__)
  sums.part[0] += (SumPart)_mm256_madd_epi16((__m256i)a.part[0], (__m256i)b.part[0]);
#elif defined(__aarch64__)
#pragma GCC unroll 2
  for (int i = 0; i < kIntegerParts; ++i) {
    const int16x8_t x = (int16x8_t)a.part[i], y = (int16x8_t)b.part[i];
    sums.part[i] += (SumPart)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
  }
#endif
}

// sums + a * b, rounded once: what the compiler would make of it here and there, and all sets must agree.
KEXA_INLINE FloatSumPart fused(const FloatSumPart& a, const FloatSumPart& b, const FloatSumPart& sums) {
#if defined(__AVX2__)
  return (FloatSumPart)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sums);
#elif defined(__aarch64__)
  return (FloatSumPart)vfmaq_f32((float32x4_t)sums, (float32x4_t)a, (float32x4_t)b);
#endif
}

// sums += a * by, a being whole numbers
KEXA_INLINE void add_scaled(F32x8& sums, const I32x8& a, float by) {
#pragma GCC unroll 2
  for (int i = 0; i < kIntegerParts; ++i)
    sums.part[i] = fused(__builtin_convertvector(a.part[i], FloatSumPart), FloatSumPart{} + by, sums.part[i]);
}

// sums += a * b * by
KEXA_INLINE void add_scaled(F32x8& sums, const I32x8& a, const I32x8& b, float by) {
  I32x8 products;
#pragma GCC unroll 2
  for (int i = 0; i < kIntegerParts; ++i) products.part[i] = a.part[i] * b.part[i];
  add_scaled(sums, products, by);
}

KEXA_INLINE void widen(I16x16& lanes, const U8x16& codes) {
#if defined(__AVX2__)
  lanes.part[0] = (I16Part)_mm256_cvtepu8_epi16((__m128i)codes);
#elif defined(__aarch64__)
  lanes.part[0] = (I16Part)vmovl_u8(vget_low_u8((uint8x16_t)codes));
  lanes.part[1] = (I16Part)vmovl_high_u8((uint8x16_t)codes);
#endif
}
KEXA_INLINE void widen_signed(I16x16& lanes, const U8x16& codes) {
#if defined(__AVX2__)
  lanes.part[0] = (I16Part)_mm256_cvtepi8_epi16((__m128i)codes);
#elif defined(__aarch64__)
  lanes.part[0] = (I16Part)vmovl_s8(vget_low_s8((int8x16_t)codes));
  lanes.part[1] = (I16Part)vmovl_high_s8((int8x16_t)codes);
#endif
}

// lanes *= a factor of 16 bits. `twice` holds the factor in both halves of 32 bits: a register is then filled by a
// 32-bit broadcast, which needs no instruction of its own.
KEXA_INLINE void multiply(I16x16& lanes, uint32_t twice) {
  typedef uint32_t Filled __attribute__((vector_size(kIntegerWidth * 2)));
  const Filled by = Filled{} + twice;
#pragma GCC unroll 2
  for (int i = 0; i < kIntegerParts; ++i) lanes.part[i] *= (I16Part)by;
}
// sums += a * by, in whole numbers
KEXA_INLINE void add_multiple(I32x8& sums, const I32x8& a, int32_t by) {
#pragma GCC unroll 2
  for (int i = 0; i < kIntegerParts; ++i) sums.part[i] += a.part[i] * (SumPart{} + by);
}
// The lower or upper eight bytes as integers.
KEXA_INLINE void put_half(int32_t* to, const U8x16& codes, bool is_upper) {
#if defined(__AVX2__)
  const __m128i eight = is_upper ? _mm_unpackhi_epi64((__m128i)codes, (__m128i)codes) : (__m128i)codes;
  const __m256i wide = _mm256_cvtepu8_epi32(eight);
  std::memcpy(to, &wide, sizeof wide);
#elif defined(__aarch64__)
  const uint16x8_t wide = is_upper ? vmovl_high_u8((uint8x16_t)codes) : vmovl_u8(vget_low_u8((uint8x16_t)codes));
  const uint32x4_t low = vmovl_u16(vget_low_u16(wide)), high = vmovl_high_u16(wide);
  std::memcpy(to, &low, sizeof low), std::memcpy(to + 4, &high, sizeof high);
#endif
}
KEXA_INLINE void put_twice(uint32_t* twice, const U8x16& scales, int count) {
  typedef int8_t I8x8 __attribute__((vector_size(8)));
  typedef int16_t I16x8 __attribute__((vector_size(16)));
#pragma GCC unroll 2
  for (int i = 0; i < count; i += 8) {
    I8x8 some;
    std::memcpy(&some, reinterpret_cast<const uint8_t*>(&scales) + i, sizeof some);
    const I16x8 wide = __builtin_convertvector(some, I16x8);
    const I16x8 low = __builtin_shufflevector(wide, wide, 0, 0, 1, 1, 2, 2, 3, 3),
                high = __builtin_shufflevector(wide, wide, 4, 4, 5, 5, 6, 6, 7, 7);
    std::memcpy(twice + i, &low, sizeof low), std::memcpy(twice + i + 4, &high, sizeof high);
  }
}

// Blocks of 32, each with a scale of its own in its first two bytes.
struct SmallIntegerLanes {
  static constexpr int kUnit = 32;  // elements whose sum is whole numbers times one
  static constexpr bool kHasMinima = false;
};
struct Q8_0Integers : SmallIntegerLanes {
  static constexpr int kBytes = Q8_0Lanes::kBytes;
  static KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) {
    U8x16 codes;
    load_bytes(codes, block + 2 + step * kLanes);
    widen_signed(lanes, codes);
  }
};
struct Q4_0Integers : SmallIntegerLanes {
  static constexpr int kBytes = Q4_0Lanes::kBytes;
  static KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) {
    U8x16 codes;
    load_nibbles(codes, block + 2, step);
    widen_signed(lanes, codes - 8);
  }
};
struct Q5_0Integers : SmallIntegerLanes {
  static constexpr int kBytes = Q5_0Lanes::kBytes;
  static KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) {
    U8x16 codes;
    load_nibbles(codes, block + 6, step);
    widen_signed(lanes, with_fifth_bits(codes, four_bytes(block + 2) >> (step * kLanes)) - 16);
  }
};
struct Iq4NlIntegers : SmallIntegerLanes {
  static constexpr int kBytes = Iq4NlLanes::kBytes;
  static KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) {
    U8x16 codes;
    load_nibbles(codes, block + 2, step);
    look_up(codes, kIq4Values);
    widen_signed(lanes, codes);
  }
};

// Blocks of 256. The bound of a unit is that of 32 bits: a sum's lane takes an eighth of its products. Where 32
// elements have one scale, the sum of 32 products can be multiplied by it as well as the elements: it is the same whole
// number.
struct Q3KIntegers {
  static constexpr int kBytes = Q3KLanes::kBytes, kUnit = 256;
  static constexpr bool kHasMinima = false;
  uint32_t scale[16];
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) {
    put_twice(scale, Q3KLanes::scales(block), 16), d = half_at(block + 108);
  }
  KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) const {
    widen_signed(lanes, Q3KLanes::codes(block, step)), multiply(lanes, scale[step]);
  }
};
struct Q4KIntegers {
  static constexpr int kBytes = Q4KLanes::kBytes, kUnit = 256;
  static constexpr bool kHasMinima = true;
  int32_t scale[8];
  int32_t minima[8];
  float d, dmin;
  KEXA_INLINE void prepare(const uint8_t* block) {
    const U8x16 packed = Q4KLanes::scales_and_minima(block);
    put_half(scale, packed, false), put_half(minima, packed, true);
    d = half_at(block), dmin = half_at(block + 2);
  }
  static KEXA_INLINE void load_codes(I16x16& lanes, const uint8_t* block, int step) {
    U8x16 codes;
    load_bytes(codes, block + 16 + step / 4 * 32 + step % 2 * 16);
    widen(lanes, codes);
#pragma GCC unroll 2
    for (I16Part& part : lanes.part) part = step / 2 % 2 ? part >> 4 : part & 15;
  }
};
struct Q5KIntegers : Q4KIntegers {
  static constexpr int kBytes = Q5KLanes::kBytes;
  static KEXA_INLINE void load_codes(I16x16& lanes, const uint8_t* block, int step) {
    widen(lanes, Q5KLanes::codes(block, step));
  }
};
struct Q6KIntegers {
  static constexpr int kBytes = Q6KLanes::kBytes, kUnit = 128;
  static constexpr bool kHasMinima = false;
  uint32_t scale[16];
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) {
    U8x16 packed;
    load_bytes(packed, block + 192);
    put_twice(scale, packed, 16), d = half_at(block + 208);
  }
  KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) const {
    widen_signed(lanes, Q6KLanes::codes(block, step)), multiply(lanes, scale[step]);
  }
};
struct Iq4XsIntegers {
  static constexpr int kBytes = Iq4XsLanes::kBytes, kUnit = 128;
  static constexpr bool kHasMinima = false;
  int32_t scale[8];
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) {
    for (int group = 0; group < 8; ++group) scale[group] = Iq4XsLanes::scale_of(block, group);
    d = half_at(block);
  }
  static KEXA_INLINE void load_codes(I16x16& lanes, const uint8_t* block, int step) {
    U8x16 codes;
    load_nibbles(codes, block + 8 + step / 2 * 16, step % 2);
    look_up(codes, kIq4Values);
    widen_signed(lanes, codes);
  }
};

// Of those that have a scale for each 32.
template <typename Integers>
constexpr bool kScalesSums = requires(I16x16& lanes) { Integers::load_codes(lanes, nullptr, 0); };

// Elements with the scales of their groups.
template <typename Integers>
KEXA_INLINE void load_scaled(I16x16& lanes, const Integers& integers, const uint8_t* block, int step) {
  if constexpr (kScalesSums<Integers>) {
    Integers::load_codes(lanes, block, step);
#pragma GCC unroll 2
    for (I16Part& part : lanes.part) part *= I16Part{} + int16_t(integers.scale[step / 2]);
  } else {
    integers.load(lanes, block, step);
  }
}

}  // namespace kexa::KEXA_SET

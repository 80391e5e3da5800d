// How the CPU device reads blocks of weights as 16-bit integers, 16 elements at a time, for products with rounded
// activations. The elements of a block are whole numbers times one scale. Scales of groups within the block are whole
// numbers too and are multiplied in. Each type's own part is the struct Integers in cpu/lanes. All of this is compiled
// once for each instruction set, like lanes.h. This file has what several types share.
#pragma once

#include "cpu/lanes.h"
#include "quant/rounded.h"

namespace kexa::KEXA_SET {

// Vectors of 16 integers of 16 bits, and of their 8 sums. They have 256 bits with AVX-512 as well.
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

// Loads part by part, because GCC copies a whole vector through memory.
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

// Returns sums + a * b, rounded once. Compilers fuse such sums only in some places, and all sets must agree.
KEXA_INLINE FloatSumPart fused(const FloatSumPart& a, const FloatSumPart& b, const FloatSumPart& sums) {
#if defined(__AVX2__)
  return (FloatSumPart)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sums);
#elif defined(__aarch64__)
  return (FloatSumPart)vfmaq_f32((float32x4_t)sums, (float32x4_t)a, (float32x4_t)b);
#endif
}

// sums += a * by, where a holds whole numbers
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

// lanes *= a factor of 16 bits. `twice` holds the factor in both halves of 32 bits, because a 32-bit broadcast fills a
// register without an instruction of its own.
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
// Writes the lower or upper eight bytes as integers.
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

// The size of a type's blocks, and how they are summed. The sum of kUnit products is whole numbers times one scale. A
// unit is bounded by 32 bits: a lane of the sum takes an eighth of its products. Small blocks are one unit, and begin
// with their scale in f16 or f32.
template <Type kOwn, int kOfUnit, bool kMinima = false>
struct IntegerLanes {
  static constexpr int kBytes = facts_of(kOwn).block_bytes, kUnit = kOfUnit;
  static constexpr bool kHasMinima = kMinima, kIsSmall = facts_of(kOwn).block_elements < kRoundedColumns;
  static constexpr bool kHasF32Scale = false;
};

// Computes what load() of a small block needs. Most types need nothing.
template <typename Integers>
KEXA_INLINE void prepare_small(Integers& integers, const uint8_t* block) {
  if constexpr (requires { integers.prepare(block); }) integers.prepare(block);
}

// Whether a type has one scale for each 32 elements, told by its load_codes(). The sum of 32 products is then
// multiplied by the scale instead of the elements, which gives the same whole number.
template <typename Integers>
constexpr bool kScalesSums = requires(I16x16& lanes) { Integers::load_codes(lanes, nullptr, 0); };

// Reads elements multiplied by the scales of their groups.
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

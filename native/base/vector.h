// Loads, stores and conversions of vectors of 16 floats, for one instruction set. Only files that are compiled for
// one instruction set include this header. They define KEXA_SET, the set's name. Everything here lies in a namespace of
// that name, so that the linker never takes one set's code for another's.
#pragma once

#include "base/numbers.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace kexa::KEXA_SET {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
#include "base/lanes16.h"

typedef uint32_t U32Part __attribute__((vector_size(kWidth * 4)));
typedef int32_t I32Part __attribute__((vector_size(kWidth * 4)));
typedef uint8_t U8x16 __attribute__((vector_size(16)));

KEXA_INLINE void load_some(F32x16& lanes, const float* from, int n) {
  float some[kLanes] = {};
  for (int i = 0; i < n; ++i) some[i] = from[i];
  load(lanes, some);
}

// sums += a * b, lane by lane.
KEXA_INLINE void add_product(F32x16& sums, const F32x16& a, const F32x16& b) {
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) sums.part[i] += a.part[i] * b.part[i];
}

// `first` in the first eight lanes, `second` in the other eight.
KEXA_INLINE F32x16 two_halves(float first, float second) {
  const float values[kLanes] = {first,  first,  first,  first,  first,  first,  first,  first,
                                second, second, second, second, second, second, second, second};
  F32x16 lanes;
  load(lanes, values);
  return lanes;
}

#if defined(__AVX512F__)
KEXA_INLINE void to_floats(F32x16& lanes, const U8x16& codes) {
  lanes.part[0] = (Part)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)codes));
}
KEXA_INLINE void to_signed_floats(F32x16& lanes, const U8x16& codes) {
  lanes.part[0] = (Part)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)codes));
}
KEXA_INLINE void load_f16(F32x16& lanes, const uint16_t* from) {
  lanes.part[0] = (Part)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
#elif defined(__AVX2__)
KEXA_INLINE void to_floats(F32x16& lanes, const U8x16& codes) {
  lanes.part[0] = (Part)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32((__m128i)codes));
  lanes.part[1] = (Part)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64((__m128i)codes, (__m128i)codes)));
}
KEXA_INLINE void to_signed_floats(F32x16& lanes, const U8x16& codes) {
  lanes.part[0] = (Part)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32((__m128i)codes));
  lanes.part[1] = (Part)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64((__m128i)codes, (__m128i)codes)));
}
KEXA_INLINE void load_f16(F32x16& lanes, const uint16_t* from) {
  for (int i = 0; i < kParts; ++i)
    lanes.part[i] = (Part)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * kWidth)));
}
#else
KEXA_INLINE void to_floats(F32x16& lanes, const U8x16& codes) {
  typedef uint8_t U8Part __attribute__((vector_size(kWidth)));
  U8Part some[kParts];
  std::memcpy(&some, &codes, sizeof codes);
  for (int i = 0; i < kParts; ++i)
    lanes.part[i] = __builtin_convertvector(__builtin_convertvector(some[i], I32Part), Part);
}
KEXA_INLINE void to_signed_floats(F32x16& lanes, const U8x16& codes) {
  to_floats(lanes, codes ^ 0x80);
  lanes = lanes - 128.0f;
}
KEXA_INLINE void load_f16(F32x16& lanes, const uint16_t* from) {
  kexa::F32x16 whole;
  kexa::load_f16(whole, from);
  std::memcpy(&lanes, &whole, sizeof lanes);
}
#endif

KEXA_INLINE void load_bf16(F32x16& lanes, const uint16_t* from) {
  typedef uint16_t U16Part __attribute__((vector_size(kWidth * 2)));
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) {
    U16Part halves;
    std::memcpy(&halves, from + i * kWidth, sizeof halves);
    const U32Part wide = __builtin_convertvector(halves, U32Part) << 16;
    lanes.part[i] = (Part)wide;
  }
}

// In 16-bit lanes the codes become bf16 with exponents that are 120 too low. A NaN becomes all ones.
KEXA_INLINE void load_e4m3(F32x16& lanes, const uint8_t* from) {
  typedef uint8_t U8Part __attribute__((vector_size(kWidth)));
  typedef uint16_t U16Part __attribute__((vector_size(kWidth * 2)));
  typedef int16_t I16Part __attribute__((vector_size(kWidth * 2)));
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) {
    U8Part codes;
    std::memcpy(&codes, from + i * kWidth, sizeof codes);
    U16Part halves = (U16Part)((I16Part)(__builtin_convertvector(codes, U16Part) << 8) >> 4) & 0x87f0;
    halves |= (U16Part)((halves & 0x07f0) == 0x07f0);
    const U32Part wide = __builtin_convertvector(halves, U32Part) << 16;
    lanes.part[i] = (Part)wide * 0x1p120f;
  }
}

KEXA_INLINE float half_to_float(uint16_t half) {
#if defined(__F16C__)
  return _cvtsh_ss(half);
#else
  return f16_to_f32(half);
#endif
}

// The sum of the lanes of each of four vectors, by the tree of sum_lanes().
typedef float F32x4 __attribute__((vector_size(16)));
KEXA_INLINE F32x4 sums_of_four(const float* first, const float* second, const float* third, const float* fourth) {
  const auto quarter = [](const float* from) KEXA_INLINE_CALL {
    F32x4 a, b, c, d;
    std::memcpy(&a, from, 16), std::memcpy(&b, from + 4, 16);
    std::memcpy(&c, from + 8, 16), std::memcpy(&d, from + 12, 16);
    return (a + c) + (b + d);
  };
  const F32x4 a = quarter(first), b = quarter(second), c = quarter(third), d = quarter(fourth);
  // Transposes, so that one addition serves all four vectors: it adds lanes of different vectors.
  const F32x4 low_ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), high_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const F32x4 low_cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), high_cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const F32x4 pairs_ab = low_ab + high_ab, pairs_cd = low_cd + high_cd;
  return __builtin_shufflevector(pairs_ab, pairs_cd, 0, 1, 4, 5) +
         __builtin_shufflevector(pairs_ab, pairs_cd, 2, 3, 6, 7);
}

}  // namespace kexa::KEXA_SET

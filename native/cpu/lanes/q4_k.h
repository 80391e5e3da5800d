// q4_k on the CPU device. quant/types/q4_k.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"

namespace kexa::KEXA_SET {

struct Q4KLanes : BlockLanes<Type::kQ4K> {
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
    const uint8_t* from = block + 16 + step / 4 * 32 + step % 2 * 16;
#if defined(__AVX512F__)
    // 32 elements have one of 16 values. They are made at once, in a register, and looked up there by the lowest four
    // bits of each lane.
    constexpr Part kCodes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const Part values = kCodes * scale_min[step / 2] - scale_min[8 + step / 2];
    load_bytes(codes, from);
    __m512i at = _mm512_cvtepu8_epi32((__m128i)codes);
    if (step / 2 % 2) at = _mm512_srli_epi32(at, 4);
    lanes.part[0] = (Part)_mm512_permutexvar_ps(at, (__m512)values);
#else
    load_nibbles(codes, from, step / 2 % 2);
    to_floats(lanes, codes);
    lanes = lanes * scale_min[step / 2] - scale_min[8 + step / 2];
#endif
  }

  struct Integers : IntegerLanes<Type::kQ4K, 256, true> {
    int32_t scale[8];
    int32_t minima[8];
    float d, dmin;
    KEXA_INLINE void prepare(const uint8_t* block) {
      const U8x16 packed = scales_and_minima(block);
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
};

}  // namespace kexa::KEXA_SET

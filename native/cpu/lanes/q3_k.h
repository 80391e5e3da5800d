// q3_k on the CPU device. quant/types/q3_k.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"

namespace kexa::KEXA_SET {

struct Q3KLanes : BlockLanes<Type::kQ3K> {
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

  struct Integers : IntegerLanes<Type::kQ3K, 256> {
    uint32_t scale[16];
    float d;
    KEXA_INLINE void prepare(const uint8_t* block) { put_twice(scale, scales(block), 16), d = half_at(block + 108); }
    KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) const {
      widen_signed(lanes, codes(block, step)), multiply(lanes, scale[step]);
    }
  };
};

}  // namespace kexa::KEXA_SET

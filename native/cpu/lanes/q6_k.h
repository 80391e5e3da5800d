// q6_k on the CPU device. quant/types/q6_k.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"

namespace kexa::KEXA_SET {

struct Q6KLanes : BlockLanes<Type::kQ6K> {
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

  struct Integers : IntegerLanes<Type::kQ6K, 128> {
    uint32_t scale[16];
    float d;
    KEXA_INLINE void prepare(const uint8_t* block) {
      U8x16 packed;
      load_bytes(packed, block + 192);
      put_twice(scale, packed, 16), d = half_at(block + 208);
    }
    KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) const {
      widen_signed(lanes, codes(block, step)), multiply(lanes, scale[step]);
    }
  };
};

}  // namespace kexa::KEXA_SET

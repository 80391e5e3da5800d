// iq4_xs on the CPU device. quant/types/iq4_xs.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq4XsLanes : BlockLanes<Type::kIq4Xs> {
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

  struct Integers : IntegerLanes<Type::kIq4Xs, 128> {
    int32_t scale[8];
    float d;
    KEXA_INLINE void prepare(const uint8_t* block) {
      for (int group = 0; group < 8; ++group) scale[group] = scale_of(block, group);
      d = half_at(block);
    }
    static KEXA_INLINE void load_codes(I16x16& lanes, const uint8_t* block, int step) {
      U8x16 codes;
      load_nibbles(codes, block + 8 + step / 2 * 16, step % 2);
      look_up(codes, kIq4Values);
      widen_signed(lanes, codes);
    }
  };
};

}  // namespace kexa::KEXA_SET

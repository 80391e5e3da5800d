// q5_0 on the CPU device. quant/types/q5_0.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"

namespace kexa::KEXA_SET {

struct Q5_0Lanes : BlockLanes<Type::kQ5_0> {
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 6, step);
    to_signed_floats(lanes, with_fifth_bits(codes, four_bytes(block + 2) >> (step * kLanes)) - 16);
    lanes *= d;
  }

  struct Integers : IntegerLanes<Type::kQ5_0, 32> {
    static KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) {
      U8x16 codes;
      load_nibbles(codes, block + 6, step);
      widen_signed(lanes, with_fifth_bits(codes, four_bytes(block + 2) >> (step * kLanes)) - 16);
    }
  };
};

}  // namespace kexa::KEXA_SET

// q8_0 on the CPU device. quant/types/q8_0.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"

namespace kexa::KEXA_SET {

struct Q8_0Lanes : BlockLanes<Type::kQ8_0> {
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_bytes(codes, block + 2 + step * kLanes);
    to_signed_floats(lanes, codes);
    lanes *= d;
  }

  struct Integers : IntegerLanes<Type::kQ8_0, 32> {
    static KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) {
      U8x16 codes;
      load_bytes(codes, block + 2 + step * kLanes);
      widen_signed(lanes, codes);
    }
  };
};

}  // namespace kexa::KEXA_SET

// iq4_nl on the CPU device. quant/types/iq4_nl.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq4NlLanes : BlockLanes<Type::kIq4Nl> {
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 2, step);
    look_up(codes, kIq4Values);
    to_signed_floats(lanes, codes);
    lanes *= d;
  }

  struct Integers : IntegerLanes<Type::kIq4Nl, 32> {
    static KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) {
      U8x16 codes;
      load_nibbles(codes, block + 2, step);
      look_up(codes, kIq4Values);
      widen_signed(lanes, codes);
    }
  };
};

}  // namespace kexa::KEXA_SET

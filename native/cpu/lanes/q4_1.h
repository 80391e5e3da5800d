// q4_1 on the CPU device. quant/types/q4_1.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"

namespace kexa::KEXA_SET {

struct Q4_1Lanes : BlockLanes<Type::kQ4_1> {
  float d, m;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block), m = half_at(block + 2); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 4, step);
    to_floats(lanes, codes);
    lanes = lanes * d + m;
  }
};

}  // namespace kexa::KEXA_SET

// q5_1 on the CPU device. quant/types/q5_1.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"

namespace kexa::KEXA_SET {

struct Q5_1Lanes : BlockLanes<Type::kQ5_1> {
  float d, m;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block), m = half_at(block + 2); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 8, step);
    to_signed_floats(lanes, with_fifth_bits(codes, four_bytes(block + 4) >> (step * kLanes)));
    lanes = lanes * d + m;
  }
};

}  // namespace kexa::KEXA_SET

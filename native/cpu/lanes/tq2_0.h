// tq2_0 on the CPU device. quant/types/tq2_0.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"

namespace kexa::KEXA_SET {

struct Tq2_0Lanes : BlockLanes<Type::kTq2_0> {
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block + 64); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_bytes(codes, block + step / 8 * 32 + step % 2 * 16);
    to_signed_floats(lanes, (codes >> (step % 8 / 2 * 2) & 3) - 1);
    lanes *= d;
  }
};

}  // namespace kexa::KEXA_SET

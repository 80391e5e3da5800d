// mxfp4 on the CPU device. quant/types/mxfp4.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Mxfp4Lanes : BlockLanes<Type::kMxfp4> {
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_of_e8m0(block[0]); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 1, step);
    look_up(codes, kMxfp4Values);
    to_signed_floats(lanes, codes);
    lanes *= d;
  }
};

}  // namespace kexa::KEXA_SET

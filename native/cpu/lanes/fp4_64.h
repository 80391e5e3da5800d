// fp4_64 on the CPU device. quant/types/fp4_64.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Fp4_64Lanes : BlockLanes<Type::kFp4_64> {
  float scale[4];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float factor = float_at(block);
    for (int group = 0; group < 4; ++group) scale[group] = half_of_ue4m3(block[4 + group]) * factor;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 8 + step / 2 * 16, step % 2);
    look_up(codes, kMxfp4Values);
    to_signed_floats(lanes, codes);
    lanes *= scale[step];
  }
};

}  // namespace kexa::KEXA_SET

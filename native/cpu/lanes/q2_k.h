// q2_k on the CPU device. quant/types/q2_k.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"

namespace kexa::KEXA_SET {

struct Q2KLanes : BlockLanes<Type::kQ2K> {
  float scale[16], min[16];
  KEXA_INLINE void prepare(const uint8_t* block) {
    U8x16 packed;
    load_bytes(packed, block);
    F32x16 scales, mins;
    to_floats(scales, packed & 15), to_floats(mins, packed >> 4);
    store(scale, scales * half_at(block + 80)), store(min, mins * half_at(block + 82));
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_bytes(codes, block + 16 + step / 8 * 32 + step % 2 * 16);
    to_floats(lanes, codes >> (step % 8 / 2 * 2) & 3);
    lanes = lanes * scale[step] - min[step];
  }
};

}  // namespace kexa::KEXA_SET

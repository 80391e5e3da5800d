// iq2_xs on the CPU device. quant/types/iq2_xs.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq2XsLanes : BlockLanes<Type::kIq2Xs> {
  float scale[16];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 16; ++group)
      scale[group] = d * (0.5f + float(block[66 + group / 2] >> (group % 2 * 4) & 15)) * 0.25f;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint32_t two = four_bytes(block + 2 + step * 4);
    load_signed(lanes, kIq2XsBytes.of[two & 511], kIq2XsBytes.of[two >> 16 & 511], two >> 9, two >> 25);
    lanes *= scale[step];
  }
};

}  // namespace kexa::KEXA_SET

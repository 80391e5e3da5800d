// iq2_xxs on the CPU device. quant/types/iq2_xxs.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq2XxsLanes : BlockLanes<Type::kIq2Xxs> {
  float scale[8];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 8; ++group)
      scale[group] = d * (0.5f + float(four_bytes(block + 6 + group * 8) >> 28)) * 0.25f;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint8_t* group = block + 2 + step / 2 * 8;
    const uint32_t signs = four_bytes(group + 4) >> (step % 2 * 14);
    const uint8_t* at = group + step % 2 * 2;
    load_signed(lanes, kIq2XxsBytes.of[at[0]], kIq2XxsBytes.of[at[1]], signs, signs >> 7);
    lanes *= scale[step / 2];
  }
};

}  // namespace kexa::KEXA_SET

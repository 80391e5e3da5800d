// iq2_s on the CPU device. quant/types/iq2_s.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq2SLanes : BlockLanes<Type::kIq2S> {
  float scale[16];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 16; ++group)
      scale[group] = d * (0.5f + float(block[74 + group / 2] >> (group % 2 * 4) & 15)) * 0.25f;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint32_t upper = uint32_t{block[66 + step / 2]} >> (step % 2 * 4);
    const uint32_t first = block[2 + step * 2] | (upper & 3) << 8, second = block[3 + step * 2] | (upper >> 2 & 3) << 8;
    load_signed_by(lanes, kIq2SBytes.of[first], kIq2SBytes.of[second], block[34 + step * 2], block[35 + step * 2]);
    lanes *= scale[step];
  }
};

}  // namespace kexa::KEXA_SET

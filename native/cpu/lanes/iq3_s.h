// iq3_s on the CPU device. quant/types/iq3_s.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq3SLanes : BlockLanes<Type::kIq3S> {
  float scale[8];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 8; ++group)
      scale[group] = d * float(1 + 2 * (block[106 + group / 2] >> (group % 2 * 4) & 15));
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint32_t ninth = uint32_t{block[66 + step / 2]} >> (step % 2 * 4);
    const uint8_t* at = block + 2 + step * 4;
    const auto two = [&](int i) KEXA_INLINE_CALL {
      return kIq3SBytes.of[at[i] | (ninth >> i & 1) << 8] |
             uint64_t{kIq3SBytes.of[at[i + 1] | (ninth >> (i + 1) & 1) << 8]} << 32;
    };
    load_signed_by(lanes, two(0), two(2), block[74 + step * 2], block[75 + step * 2]);
    lanes *= scale[step / 2];
  }
};

}  // namespace kexa::KEXA_SET

// iq3_xxs on the CPU device. quant/types/iq3_xxs.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq3XxsLanes : BlockLanes<Type::kIq3Xxs> {
  float scale[8];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 8; ++group)
      scale[group] = d * (0.5f + float(four_bytes(block + 66 + group * 4) >> 28)) * 0.5f;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint32_t signs = four_bytes(block + 66 + step / 2 * 4) >> (step % 2 * 14);
    const uint8_t* at = block + 2 + step * 4;
    const auto two = [](const uint8_t* from) KEXA_INLINE_CALL {
      return kIq3XxsBytes.of[from[0]] | uint64_t{kIq3XxsBytes.of[from[1]]} << 32;
    };
    load_signed(lanes, two(at), two(at + 2), signs, signs >> 7);
    lanes *= scale[step / 2];
  }
};

}  // namespace kexa::KEXA_SET

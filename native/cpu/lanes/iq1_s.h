// iq1_s on the CPU device. quant/types/iq1_s.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq1SLanes : BlockLanes<Type::kIq1S> {
  float scale[8];
  uint8_t eighth[8];  // 1, or 255 for -1
  static KEXA_INLINE uint32_t high(const uint8_t* block, int group) {
    return four_bytes(block + 34 + group / 2 * 4) >> (group % 2 * 16);
  }
  KEXA_INLINE void prepare(const uint8_t* block) {
    const float d = half_at(block);
    for (int group = 0; group < 8; ++group) {
      const uint32_t bits = high(block, group);
      scale[group] = d * float(2 * (bits >> 12 & 7) + 1) * 0.125f;
      eighth[group] = bits >> 15 & 1 ? 255 : 1;
    }
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    typedef uint64_t U64x2 __attribute__((vector_size(16)));
    const uint32_t bits = high(block, step / 2) >> (step % 2 * 6);
    const uint8_t* at = block + 2 + step * 2;
    const U8x16 points =
        (U8x16)U64x2{kIq1Bytes.of[at[0] | (bits & 7) << 8], kIq1Bytes.of[at[1] | (bits >> 3 & 7) << 8]};
    to_signed_floats(lanes, points + eighth[step / 2]);
    lanes *= scale[step / 2];
  }
};

}  // namespace kexa::KEXA_SET

// iq1_m on the CPU device. quant/types/iq1_m.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Iq1MLanes : BlockLanes<Type::kIq1M> {
  float scale[16];
  KEXA_INLINE void prepare(const uint8_t* block) {
    const uint32_t first = four_bytes(block + 48), last = four_bytes(block + 52);
    const float d = half_to_float(
        uint16_t((first >> 12 & 0xf) | (first >> 24 & 0xf0) | (last >> 4 & 0xf00) | (last >> 16 & 0xf000)));
    for (int group = 0; group < 16; ++group) {
      const uint32_t word = (group < 8 ? first : last) >> (group / 4 % 2 * 16 + group % 4 * 3);
      scale[group] = d * float(2 * (word & 7) + 1) * 0.125f;
    }
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    typedef uint64_t U64x2 __attribute__((vector_size(16)));
    const auto eighths = [](uint32_t high)
                             KEXA_INLINE_CALL { return high & 8 ? 0xffffffffffffffffull : 0x0101010101010101ull; };
    const uint32_t high = block[32 + step];
    const uint8_t* at = block + step * 2;
    const U8x16 points =
        (U8x16)U64x2{kIq1Bytes.of[at[0] | (high & 7) << 8], kIq1Bytes.of[at[1] | (high >> 4 & 7) << 8]};
    to_signed_floats(lanes, points + (U8x16)U64x2{eighths(high), eighths(high >> 4)});
    lanes *= scale[step];
  }
};

}  // namespace kexa::KEXA_SET

// nvfp4 on the CPU device. quant/types/nvfp4.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Nvfp4Lanes : BlockLanes<Type::kNvfp4> {
  float scale[4];
  KEXA_INLINE void prepare(const uint8_t* block) {
    for (int group = 0; group < 4; ++group) scale[group] = half_of_ue4m3(block[group]);
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    const uint32_t a = four_bytes(block + 4 + step * 8), b = four_bytes(block + 8 + step * 8);
    constexpr uint32_t kLow = 0x0f0f0f0f;
    U8x16 codes = bytes_of_words(a & kLow, b & kLow, a >> 4 & kLow, b >> 4 & kLow);
    look_up(codes, kMxfp4Values);
    to_signed_floats(lanes, codes);
    lanes *= scale[step];
  }
};

}  // namespace kexa::KEXA_SET

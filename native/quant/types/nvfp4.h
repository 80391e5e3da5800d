// nvfp4: 64 weights in 36 bytes, in groups of 16. A scale of 8 bits for each group (e4m3, its sign ignored), codes of 4
// bits (e2m1): a group has 8 bytes, with element i in the low half of byte i and element i + 8 in its high half. The
// levels are doubled to be whole numbers. weight = scale / 2 * level.
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Nvfp4 : Block<Type::kNvfp4> {
  static constexpr const auto& kLevels = kMxfp4Values;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    for (int group = 0; group < 4; ++group) {
      const uint8_t* codes = block + 4 + group * 8;
      const float scale = half_of_ue4m3(block[group]);
      for (int i = 0; i < 8; ++i) {
        out[group * 16 + i] = scale * float(kLevels[codes[i] & 15]);
        out[group * 16 + i + 8] = scale * float(kLevels[codes[i] >> 4]);
      }
    }
  }

  static constexpr GpuRow kGpu{.planes = {4}, .offset = 128, .tail_bytes = 4};
  static void codes(const uint8_t* block, uint8_t* to) {
    for (int i = 0; i < 32; ++i) {
      const int at = i / 8 * 16 + i % 8;
      to[at] = block[4 + i] & 15, to[at + 8] = block[4 + i] >> 4;
    }
  }

  static constexpr SyntheticScale kSynthetic{0, 4, 0x04040404};
};

}  // namespace kexa::types

// fp4_64: 64 weights in 40 bytes. A factor (f32); four scales of 8 bits (e4m3, neither negative nor NaN), each for 16
// weights; codes of 4 bits (e2m1) in two groups of 32, in 16 bytes each, with element i of the group in the low half of
// byte i and element i + 16 in its high half. The levels are doubled to be whole numbers.
// weight = scale / 2 * factor * level, where scale / 2 * factor is rounded to f32 before it is multiplied by the level.
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Fp4_64 : Block<Type::kFp4_64> {
  static constexpr const auto& kLevels = kMxfp4Values;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float factor = f32(block);
    for (int group = 0; group < 4; ++group) {
      const uint8_t* codes = block + 8 + group / 2 * 16;
      const float scale = half_of_ue4m3(block[4 + group]) * factor;
      for (int i = 0; i < 16; ++i) out[group * 16 + i] = scale * float(kLevels[codes[i] >> (group % 2 * 4) & 15]);
    }
  }

  static constexpr GpuRow kGpu{.planes = {4}, .offset = 128, .tail_bytes = 8};
  static void codes(const uint8_t* block, uint8_t* to) { take_codes(block + 8, to), take_codes(block + 24, to + 32); }

  static constexpr SyntheticScale kSynthetic{0, 8, 0x383838383c000000};  // scales of 1, a factor of 1/128
};

}  // namespace kexa::types

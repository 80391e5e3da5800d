// tq2_0: 256 weights in 66 bytes. Codes of 2 bits, d (f16). weight = d * (code - 1).
#pragma once

#include "quant/block.h"

namespace kexa::types {

struct Tq2_0 : Block<Type::kTq2_0> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block + 64);
    for (int i = 0; i < 256; ++i) out[i] = d * float((block[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3) - 1);
  }

  static constexpr GpuRow kGpu{.planes = {2}, .offset = 1, .tail_at = 64, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) { take_pairs(block, to); }

  static constexpr SyntheticScale kSynthetic{64, 2, 0x2400};
};

}  // namespace kexa::types

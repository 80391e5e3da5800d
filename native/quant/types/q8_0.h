// q8_0: 32 weights in 34 bytes. d (f16), codes of 8 bits (signed). weight = d * code.
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q8_0 : Block<Type::kQ8_0> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int i = 0; i < 32; ++i) out[i] = d * float(int8_t(block[2 + i]));
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[2], q[2];
    load_block<2>(x, from);
    put_f16(to, fit::signed_scale<2, WholeLevels<127, 127>, true>(x, q));
    uint8_t whole[kSmallBlock];
    whole_numbers<2>(q, 0, whole);
    std::memcpy(to + 2, whole, sizeof whole);
  }

  static constexpr GpuRow kGpu{.planes = {8}, .offset = 128, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) {
    for (int i = 0; i < 32; ++i) to[i] = block[2 + i] ^ 128;
  }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x0c00};
  static constexpr RoundedScales kRounded{};
};

}  // namespace kexa::types

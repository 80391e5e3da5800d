// q4_0: 32 weights in 18 bytes. d (f16), codes of 4 bits. weight = d * (code - 8).
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q4_0 : Block<Type::kQ4_0> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int i = 0; i < 16; ++i) {
      const int code = block[2 + i];
      out[i] = d * float((code & 15) - 8);
      out[i + 16] = d * float((code >> 4) - 8);
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[2], q[2];
    load_block<2>(x, from);
    put_f16(to, fit::signed_scale<2, WholeLevels<8, 7>, true>(x, q));
    uint8_t whole[kSmallBlock];
    whole_numbers<2>(q, 8, whole);
    put_halves(whole, to + 2);
  }

  static constexpr GpuRow kGpu{.planes = {4}, .offset = 8, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) { take_codes(block + 2, to); }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x1c00};
  static constexpr RoundedScales kRounded{};
};

}  // namespace kexa::types

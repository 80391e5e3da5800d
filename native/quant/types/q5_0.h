// q5_0: 32 weights in 22 bytes. d (f16), the fifth bits of the codes, their lower 4 bits. weight = d * (code - 16).
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q5_0 : Block<Type::kQ5_0> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    const uint32_t high = u32(block + 2);
    for (int i = 0; i < 16; ++i) {
      const int code = block[6 + i];
      out[i] = d * float(int((code & 15) | (high >> i & 1) << 4) - 16);
      out[i + 16] = d * float(int(code >> 4 | (high >> (i + 16) & 1) << 4) - 16);
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[2], q[2];
    load_block<2>(x, from);
    put_f16(to, fit::signed_scale<2, WholeLevels<16, 15>, true>(x, q));
    uint8_t whole[kSmallBlock];
    whole_numbers<2>(q, 16, whole);
    put_fives(whole, to + 2);
  }

  static constexpr GpuRow kGpu{.planes = {4, 1}, .offset = 16, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) { take_codes(block + 6, to), take_fifth_bits(block + 2, to); }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x1800};
  static constexpr RoundedScales kRounded{};
};

}  // namespace kexa::types

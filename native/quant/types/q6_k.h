// q6_k: 256 weights in 210 bytes, in groups of 16. The lower 4 bits of the codes, their upper 2 bits, a signed scale of
// 8 bits for each group, d (f16). weight = d * scale * (code - 32).
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q6K : Block<Type::kQ6K> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block + 208);
    for (int group = 0; group < 16; ++group) {
      const float scale = d * float(int8_t(block[192 + group]));
      // Half a block has 64 bytes of lower bits and 32 of upper ones.
      const int half = group / 8, in_half = group % 8;
      const uint8_t* low = block + half * 64 + in_half % 4 * 16;
      const uint8_t* high = block + 128 + half * 32 + in_half % 2 * 16;
      for (int i = 0; i < 16; ++i) {
        const int code = (low[i] >> (in_half / 4 * 4) & 15) | (high[i] >> (in_half / 2 * 2) & 3) << 4;
        out[group * 16 + i] = scale * float(code - 32);
      }
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[16];
    load_block<16>(x, from);
    fit::SignedBlock<1> block;
    fit::fit_signed_block<1, WholeLevels<32, 31>, 128>(x, block);
    uint8_t q[kLargeBlock];
    whole_numbers<16>(block.q, 32, q);
    // Each half of 128 has 64 bytes with the low 4 bits of runs 0 and 2, then 1 and 3, and 32 bytes with the high 2
    // bits of all four.
    for (int half = 0; half < 2; ++half)
      for (int i = 0; i < 32; ++i) {
        const uint8_t* at = q + half * 128 + i;
        to[half * 64 + i] = std::byte((at[0] & 15) | ((at[64] & 15) << 4));
        to[half * 64 + 32 + i] = std::byte((at[32] & 15) | ((at[96] & 15) << 4));
        to[128 + half * 32 + i] =
            std::byte((at[0] >> 4) | ((at[32] >> 4) << 2) | ((at[64] >> 4) << 4) | ((at[96] >> 4) << 6));
      }
    for (int r = 0; r < 16; ++r) to[192 + r] = std::byte(uint8_t(int8_t(block.run_scale[r])));
    put_f16(to + 208, block.scale);
  }

  static constexpr GpuRow kGpu{.planes = {4, 2}, .offset = 32, .tail_at = 208, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) {
    for (int i = 0; i < 256; ++i) {
      const int half = i / 128, in_half = i % 128;
      to[i] = (block[half * 64 + in_half % 64] >> (in_half / 64 * 4) & 15) |
              (block[128 + half * 32 + in_half % 32] >> (in_half / 32 * 2) & 3) << 4;
    }
  }
  static void middle(const uint8_t* block, std::byte* to) {
    // Lanes read every second group, so the scales of four such groups make a word.
    for (int i = 0; i < 16; ++i) to[i / 8 * 8 + i % 2 * 4 + i % 8 / 2] = std::byte(block[192 + i]);
  }

  static constexpr SyntheticScale kSynthetic{208, 2, 0x0400};
  static constexpr RoundedScales kRounded{.scale = 208, .unit = 128};
};

}  // namespace kexa::types

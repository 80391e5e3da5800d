// q3_k: 256 weights in 110 bytes, in groups of 16. The third bits of the codes, their lower 2 bits, a scale of 6 bits
// for each group, d (f16). weight = d * (scale - 32) * (code - 4).
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q3K : Block<Type::kQ3K> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const uint8_t *high = block, *codes = block + 32, *scales = block + 96;
    const float d = f16(block + 108);
    for (int group = 0; group < 16; ++group) {
      const int low_bits = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
      const int high_bits = scales[8 + group % 4] >> (group / 4 * 2) & 3;
      const float scale = d * float((low_bits | high_bits << 4) - 32);
      const int at = group % 2 * 16, shift = group % 8 / 2 * 2;
      for (int i = at; i < at + 16; ++i) {
        const int code = (codes[group / 8 * 32 + i] >> shift & 3) | (high[i] >> (group / 2) & 1) << 2;
        out[group * 16 + i - at] = scale * float(code - 4);
      }
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[16];
    load_block<16>(x, from);
    fit::SignedBlock<1> block;
    fit::fit_signed_block<1, WholeLevels<4, 3>, 32>(x, block);
    uint8_t q[kLargeBlock];
    whole_numbers<16>(block.q, 4, q);
    std::fill_n(to, 110, std::byte{0});
    // Third bits: bit i / 32 of byte i % 32.
    for (int i = 0; i < kLargeBlock; ++i) to[i % 32] |= std::byte((q[i] >> 2) << (i / 32));
    for (int i = 0; i < 64; ++i) {
      const uint8_t* at = q + i / 32 * 128 + i % 32;
      to[32 + i] = std::byte((at[0] & 3) | ((at[32] & 3) << 2) | ((at[64] & 3) << 4) | ((at[96] & 3) << 6));
    }
    // Sixteen scales of 6 bits: the low four in eight bytes, the high two in four.
    for (int r = 0; r < 16; ++r) {
      const int scale = int(block.run_scale[r]) + 32;
      to[96 + r % 8] |= std::byte((scale & 15) << (r / 8 * 4));
      to[104 + r % 4] |= std::byte((scale >> 4) << (r / 4 * 2));
    }
    put_f16(to + 108, block.scale);
  }

  static constexpr GpuRow kGpu{.planes = {2, 1}, .offset = 4, .tail_at = 108, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) {
    take_pairs(block + 32, to);
    for (int i = 0; i < 256; ++i) to[i] |= (block[i % 32] >> (i / 32) & 1) << 2;
  }
  static void middle(const uint8_t* block, std::byte* to) {
    // Lanes read every second group: a word of lower bits for the even groups, one for the odd groups, then the upper
    // bits.
    uint32_t words[3] = {};
    for (int i = 0; i < 16; ++i) {
      const uint8_t* scales = block + 96;
      words[i % 2] |= uint32_t(scales[i % 8] >> (i / 8 * 4) & 15) << (i / 2 * 4);
      words[2] |= uint32_t(scales[8 + i % 4] >> (i / 4 * 2) & 3) << (i % 2 * 16 + i / 2 * 2);
    }
    std::memcpy(to, words, sizeof words);
  }

  static constexpr SyntheticScale kSynthetic{108, 2, 0x1000};
  static constexpr RoundedScales kRounded{.scale = 108, .unit = 256};
};

}  // namespace kexa::types

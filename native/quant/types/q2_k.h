// q2_k: 256 weights in 84 bytes, in groups of 16. A scale (low) and a minimum (high) of 4 bits for each group, codes of
// 2 bits, d (f16), dmin (f16). weight = d * scale * code - dmin * minimum.
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q2K : Block<Type::kQ2K> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const uint8_t* codes = block + 16;
    const float d = f16(block + 80), dmin = f16(block + 82);
    for (int group = 0; group < 16; ++group) {
      const float scale = d * float(block[group] & 15), min = dmin * float(block[group] >> 4);
      const uint8_t* from = codes + group / 8 * 32 + group % 2 * 16;
      const int shift = group % 8 / 2 * 2;
      for (int i = 0; i < 16; ++i) out[group * 16 + i] = scale * float(from[i] >> shift & 3) - min;
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[16];
    load_block<16>(x, from);
    fit::AffineBlock<1> block;
    fit::fit_affine_block<1, 3, 15>(x, block);
    uint8_t q[kLargeBlock];
    whole_numbers<16>(block.q, 0, q);
    for (int r = 0; r < 16; ++r) to[r] = std::byte(int(block.run_scale[r]) | (int(block.run_least[r]) << 4));
    // Two halves of 128: each byte has the element of four runs of 32.
    for (int i = 0; i < 64; ++i) {
      const uint8_t* at = q + i / 32 * 128 + i % 32;
      to[16 + i] = std::byte(at[0] | (at[32] << 2) | (at[64] << 4) | (at[96] << 6));
    }
    put_f16(to + 80, block.scale);
    put_f16(to + 82, block.least);
  }

  static constexpr GpuRow kGpu{.planes = {2}, .has_min = true, .tail_at = 80, .tail_bytes = 4};
  static void codes(const uint8_t* block, uint8_t* to) { take_pairs(block + 16, to); }
  static void middle(const uint8_t* block, std::byte* to) {
    // Lanes read every second group, so their scales stand together.
    for (int i = 0; i < 16; ++i) to[i % 2 * 8 + i / 2] = std::byte(block[i]);
  }

  static constexpr SyntheticScale kSynthetic{80, 4, 0x16001400};  // the minimum is 1.5 scales
};

}  // namespace kexa::types

// q4_k: 256 weights in 144 bytes, in groups of 32. d (f16), dmin (f16), a scale and a minimum of 6 bits for each group,
// codes of 4 bits. weight = d * scale * code - dmin * minimum.
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q4K : Block<Type::kQ4K> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block), dmin = f16(block + 2);
    for (int group = 0; group < 8; ++group) {
      const ScaleAndMin packed = scale_and_min(block + 4, group);
      const float scale = d * float(packed.scale), min = dmin * float(packed.min);
      const uint8_t* codes = block + 16 + group / 2 * 32;
      for (int i = 0; i < 32; ++i) out[group * 32 + i] = scale * float(codes[i] >> (group % 2 * 4) & 15) - min;
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[16];
    load_block<16>(x, from);
    fit::AffineBlock<2> block;
    fit::fit_affine_block<2, 15, 63>(x, block);
    uint8_t q[kLargeBlock];
    whole_numbers<16>(block.q, 0, q);
    put_f16(to, block.scale);
    put_f16(to + 2, block.least);
    put_sixes(block, to + 4);
    put_runs_of_halves(q, to + 16);
  }

  static constexpr GpuRow kGpu{.planes = {4}, .has_min = true, .functions = {"k_scale_and_min"}};
  static void codes(const uint8_t* block, uint8_t* to) { take_halves(block + 16, to); }
  static void middle(const uint8_t* block, std::byte* to) { std::memcpy(to, block, 16); }

  static constexpr SyntheticScale kSynthetic{0, 4, 0x0f800400};  // the minimum is 7.5 scales
  static constexpr RoundedScales kRounded{.minima = 2, .unit = 256};
};

}  // namespace kexa::types

// iq4_xs: 256 weights in 136 bytes, in groups of 32. d (f16), the upper 2 bits of the scales, their lower 4 bits, codes
// of 4 bits that name a level. weight = d * (scale - 32) * level.
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Iq4Xs : Block<Type::kIq4Xs> {
  static constexpr const auto& kLevels = kIq4Values;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    const int high_bits = u16(block + 2);
    for (int group = 0; group < 8; ++group) {
      const int low = block[4 + group / 2] >> (group % 2 * 4) & 15;
      const float scale = d * float((low | (high_bits >> (group * 2) & 3) << 4) - 32);
      const uint8_t* codes = block + 8 + group * 16;
      for (int i = 0; i < 16; ++i) {
        out[group * 32 + i] = scale * float(kIq4Values[codes[i] & 15]);
        out[group * 32 + i + 16] = scale * float(kIq4Values[codes[i] >> 4]);
      }
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[16];
    load_block<16>(x, from);
    fit::SignedBlock<2> block;
    fit::fit_signed_block<2, NormalLevels, 32>(x, block);
    uint8_t q[kLargeBlock];
    normal_indices(block.q, 16, q);
    put_f16(to, block.scale);
    // Eight scales of 6 bits: the high two in one word, the low four in four bytes.
    uint16_t high = 0;
    std::fill_n(to + 4, 4, std::byte{0});
    for (int r = 0; r < 8; ++r) {
      const int scale = int(block.run_scale[r]) + 32;
      high |= uint16_t(scale >> 4 << (2 * r));
      to[4 + r / 2] |= std::byte((scale & 15) << (r % 2 * 4));
    }
    std::memcpy(to + 2, &high, sizeof high);
    for (int r = 0; r < 8; ++r) put_halves(q + r * 32, to + 8 + r * 16);
  }

  static constexpr GpuRow kGpu{.planes = {4}, .offset = 128};
  static void codes(const uint8_t* block, uint8_t* to) {
    for (int i = 0; i < 8; ++i) take_codes(block + 8 + i * 16, to + i * 32);
  }
  static void middle(const uint8_t* block, std::byte* to) { std::memcpy(to, block, 8); }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x0400};
  static constexpr RoundedScales kRounded{.unit = 128};
};

}  // namespace kexa::types

// iq4_nl: 32 weights in 18 bytes. d (f16), codes of 4 bits that name a level. weight = d * level.
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Iq4Nl : Block<Type::kIq4Nl> {
  static constexpr const auto& kLevels = kIq4Values;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int i = 0; i < 16; ++i) {
      const int code = block[2 + i];
      out[i] = d * float(kIq4Values[code & 15]);
      out[i + 16] = d * float(kIq4Values[code >> 4]);
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[2], q[2];
    load_block<2>(x, from);
    put_f16(to, fit::signed_scale<2, NormalLevels, true>(x, q));
    // A zero block has a zero scale, and any level.
    uint8_t index[kSmallBlock];
    normal_indices(q, 2, index);
    put_halves(index, to + 2);
  }

  static constexpr GpuRow kGpu{.planes = {4}, .offset = 128, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) { take_codes(block + 2, to); }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x0c00};
  static constexpr RoundedScales kRounded{};
};

}  // namespace kexa::types

// q4_1: 32 weights in 20 bytes. d (f16), m (f16), codes of 4 bits. weight = d * code + m.
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q4_1 : Block<Type::kQ4_1> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block), m = f16(block + 2);
    for (int i = 0; i < 16; ++i) {
      const int code = block[4 + i];
      out[i] = d * float(code & 15) + m;
      out[i + 16] = d * float(code >> 4) + m;
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[2], q[2];
    load_block<2>(x, from);
    const fit::Shifted found = fit::shifted<2, 15>(x, q);
    put_f16(to, found.scale);
    put_f16(to + 2, found.shift);
    uint8_t whole[kSmallBlock];
    whole_numbers<2>(q, 0, whole);
    put_halves(whole, to + 4);
  }

  static constexpr GpuRow kGpu{.planes = {4}, .has_min = true, .tail_bytes = 4};
  static void codes(const uint8_t* block, uint8_t* to) { take_codes(block + 4, to); }

  static constexpr SyntheticScale kSynthetic{0, 4, 0xa7801c00};  // the minimum is -7.5 scales
};

}  // namespace kexa::types

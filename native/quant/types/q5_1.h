// q5_1: 32 weights in 24 bytes. d (f16), m (f16), the fifth bits of the codes, their lower 4 bits. weight = d * code +
// m.
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"

namespace kexa::types {

struct Q5_1 : Block<Type::kQ5_1> {
  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block), m = f16(block + 2);
    const uint32_t high = u32(block + 4);
    for (int i = 0; i < 16; ++i) {
      const int code = block[8 + i];
      out[i] = d * float((code & 15) | (high >> i & 1) << 4) + m;
      out[i + 16] = d * float(code >> 4 | (high >> (i + 16) & 1) << 4) + m;
    }
  }

  static KEXA_INLINE void write(const float* from, std::byte* to) {
    Wide x[2], q[2];
    load_block<2>(x, from);
    const fit::Shifted found = fit::shifted<2, 31>(x, q);
    put_f16(to, found.scale);
    put_f16(to + 2, found.shift);
    uint8_t whole[kSmallBlock];
    whole_numbers<2>(q, 0, whole);
    put_fives(whole, to + 4);
  }

  static constexpr GpuRow kGpu{.planes = {4, 1}, .has_min = true, .tail_bytes = 4};
  static void codes(const uint8_t* block, uint8_t* to) { take_codes(block + 8, to), take_fifth_bits(block + 4, to); }

  static constexpr SyntheticScale kSynthetic{0, 4, 0xa7c01800};  // the minimum is -15.5 scales
};

}  // namespace kexa::types

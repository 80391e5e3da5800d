// tq1_0: 256 weights in 54 bytes. Codes from 0 to 2 as digits of base 3: 32 bytes with five codes each, 16 bytes with
// five, 4 bytes with four, then d (f16). In a group of n bytes, byte i has elements i, i + n, i + 2 n and so on. A byte
// is the number 0.code code code ... of base 3, times 256 and rounded up. weight = d * (code - 1).
#pragma once

#include "quant/block.h"

namespace kexa::types {

struct Tq1_0 : Block<Type::kTq1_0> {
  // Returns the n-th code of a byte: multiplying by a power of 3 removes the codes before it.
  static KEXA_INLINE int code_of(uint8_t byte, int n) {
    constexpr uint8_t kPowers[] = {1, 3, 9, 27, 81};
    return uint8_t(byte * kPowers[n]) * 3 >> 8;
  }
  static KEXA_INLINE int code(const uint8_t* block, int i) {
    if (i < 160) return code_of(block[i % 32], i / 32);
    if (i < 240) return code_of(block[32 + i % 16], (i - 160) / 16);
    return code_of(block[48 + i % 4], (i - 240) / 4);
  }

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block + 52);
    for (int i = 0; i < 256; ++i) out[i] = d * float(code(block, i) - 1);
  }

  // On a GPU the codes have 2 bits, as those of tq2_0: five codes in a byte are no units of eight.
  static constexpr GpuRow kGpu{.planes = {2}, .offset = 1, .tail_at = 52, .tail_bytes = 2, .text = "tq2_0"};
  static void codes(const uint8_t* block, uint8_t* to) {
    for (int i = 0; i < 256; ++i) to[i] = uint8_t(code(block, i));
  }

  static constexpr SyntheticScale kSynthetic{52, 2, 0x2400};
};

}  // namespace kexa::types

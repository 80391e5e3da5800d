// The blocks of int4_128, int4_32, int8_128 and int8_32: the scale (f32), the zero point (u16), 2 bytes of zeros, the
// codes. weight = scale * (code - zero point). A zero point is at most 2 to the power of the code's bits.
//
// Codes of 8 bits stand one after the other. Codes of 4 bits stand in groups of 32, in 16 bytes each: byte i has
// element i of the group in its low half, element i + 16 in its high half.
#pragma once

#include "quant/block.h"

namespace kexa::types {

template <Type kOwn, int kBits>
struct IntBlock : Block<kOwn> {
  static_assert(kBits == 4 || kBits == 8);
  static constexpr int kElements = Block<kOwn>::kElements, kCodesAt = 8;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float scale = f32(block);
    const int zero = u16(block + 4);
    for (int i = 0; i < kElements; ++i) {
      const int code =
          kBits == 8 ? block[kCodesAt + i] : block[kCodesAt + i / 32 * 16 + i % 16] >> (i / 16 % 2 * 4) & 15;
      out[i] = scale * float(code - zero);
    }
  }

  static constexpr GpuRow kGpu{
      .planes = {kBits}, .has_zero = true, .tail_bytes = kCodesAt, .text = kBits == 8 ? "int8" : "int4"};
  static void codes(const uint8_t* block, uint8_t* to) {
    const uint8_t* from = block + kCodesAt;
    if (kBits == 8)
      std::memcpy(to, from, size_t(kElements));
    else
      for (int i = 0; i < kElements; i += 32) take_codes(from + i / 2, to + i);
  }

  // The scale is 1/2048 or 1/128, the zero point the middle of the codes.
  static constexpr SyntheticScale kSynthetic{
      0, 8, kBits == 8 ? uint64_t{128} << 32 | 0x3a000000u : uint64_t{8} << 32 | 0x3c000000u};
  static constexpr RoundedScales kRounded{.unit = kElements, .is_f32 = true};
};

}  // namespace kexa::types

// iq1_m: 256 weights in 56 bytes, in groups of 16. For each 8 weights the lower 8 bits of an index into the grid of -1,
// 0 and 1; for each 8 weights the upper 3 bits of the index and the sign of 1/8; four words of 16 bits, each with the
// scales of four groups (3 bits) below 4 bits of d (f16), the lowest bits first. weight = d * (2 * scale + 1) * (point
// + 1/8 or point - 1/8).
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Iq1M : Block<Type::kIq1M> {
  static constexpr const auto& kGrid = kIq1Grid;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const auto scales = [&](int i) { return u16(block + 48 + i * 2); };
    const float d = f16_to_f32(
        uint16_t(scales(0) >> 12 | (scales(1) >> 12 << 4) | (scales(2) >> 12 << 8) | (scales(3) >> 12 << 12)));
    for (int i = 0; i < 32; ++i) {
      const uint32_t high = block[32 + i / 2] >> (i % 2 * 4), entry = kGrid[block[i] | (high & 7) << 8];
      const float scale = d * float(2 * (scales(i / 8) >> (i / 2 % 4 * 3) & 7) + 1) * 0.125f;
      const int eighth = high & 8 ? -1 : 1;
      for (int j = 0; j < 8; ++j) out[i * 8 + j] = scale * float((int(entry >> (j * 2) & 3) - 1) * 8 + eighth);
    }
  }

  static constexpr GpuRow kGpu{.index_bytes = 1, .offset = 128};
  static void codes(const uint8_t* block, uint8_t* to) { std::memcpy(to, block, 32); }
  static void middle(const uint8_t* block, std::byte* to) {
    // The upper bits of d come first, because they set its size.
    std::memcpy(to, block + 52, 4), std::memcpy(to + 4, block + 48, 4), std::memcpy(to + 8, block + 32, 16);
  }

  static constexpr SyntheticScale kSynthetic{52, 4, 0x24920492};  // d is about 2^-7
};

}  // namespace kexa::types

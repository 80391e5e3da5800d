// iq1_s: 256 weights in 50 bytes, in groups of 32. d (f16); for each 8 weights the lower 8 bits of an index into the
// grid of -1, 0 and 1; then for each group four times the upper 3 bits of the indices, a scale of 3 bits and the sign
// of 1/8. weight = d * (2 * scale + 1) * (point + 1/8 or point - 1/8).
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Iq1S : Block<Type::kIq1S> {
  static constexpr const auto& kGrid = kIq1Grid;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int i = 0; i < 32; ++i) {
      const uint32_t high = u16(block + 34 + i / 4 * 2), entry = kGrid[block[2 + i] | (high >> (i % 4 * 3) & 7) << 8];
      const float scale = d * float(2 * (high >> 12 & 7) + 1) * 0.125f;
      const int eighth = high >> 15 ? -1 : 1;
      for (int j = 0; j < 8; ++j) out[i * 8 + j] = scale * float((int(entry >> (j * 2) & 3) - 1) * 8 + eighth);
    }
  }

  static constexpr GpuRow kGpu{.index_bytes = 1, .offset = 128, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) { std::memcpy(to, block + 2, 32); }
  static void middle(const uint8_t* block, std::byte* to) { std::memcpy(to, block + 34, 16); }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x2000};
};

}  // namespace kexa::types

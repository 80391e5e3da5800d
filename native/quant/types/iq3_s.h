// iq3_s: 256 weights in 110 bytes, in groups of 32. d (f16); for each 4 weights the lower 8 bits of an index into the
// grid; the ninth bits of the indices; for each 8 weights a byte of signs; a scale of 4 bits for each group.
// weight = d * (1 + 2 * scale) * magnitude.
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Iq3S : Block<Type::kIq3S> {
  static constexpr const auto& kGrid = kIq3SGrid;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int i = 0; i < 64; ++i) {
      const int index = block[2 + i] | (block[66 + i / 8] >> (i % 8) & 1) << 8;
      const float scale = d * float(1 + 2 * (block[106 + i / 16] >> (i / 8 % 2 * 4) & 15));
      signed_grid(scale, kGrid[index], kIq3SValues, 4, 4, block[74 + i / 2] >> (i % 2 * 4), out + i * 4);
    }
  }

  static constexpr GpuRow kGpu{.index_bytes = 2, .offset = 128, .tail_bytes = 2};
  static void codes(const uint8_t* block, uint8_t* to) { std::memcpy(to, block + 2, 64); }
  static void middle(const uint8_t* block, std::byte* to) {
    // Each of four lanes reads every fourth chunk: two words of signs, then half a word of ninth bits. The scales
    // follow.
    uint32_t words[11] = {};
    for (int i = 0; i < 32; ++i) {
      words[i % 4 * 2 + i / 16] |= uint32_t{block[74 + i]} << (i / 4 % 4 * 8);
      words[8 + i % 4 / 2] |= uint32_t(block[66 + i / 4] >> (i % 4 * 2) & 3) << (i % 2 * 16 + i / 4 * 2);
    }
    words[10] = u32(block + 106);
    std::memcpy(to, words, sizeof words);
  }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x0800};
};

}  // namespace kexa::types

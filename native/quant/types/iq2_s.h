// iq2_s: 256 weights in 82 bytes, in groups of 16. d (f16); for each 8 weights the lower 8 bits of an index into the
// grid; for each 8 weights a byte of signs; the upper 2 bits of the indices; a scale of 4 bits for each group.
// weight = d * (0.5 + scale) / 4 * magnitude.
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Iq2S : Block<Type::kIq2S> {
  static constexpr const auto& kGrid = kIq2SGrid;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int i = 0; i < 32; ++i) {
      const int index = block[2 + i] | (block[66 + i / 4] >> (i % 4 * 2) & 3) << 8;
      const float scale = d * (0.5f + float(block[74 + i / 4] >> (i / 2 % 2 * 4) & 15)) * 0.25f;
      signed_grid(scale, kGrid[index], kIq2Values, 8, 2, block[34 + i], out + i * 8);
    }
  }

  // A chunk has two bytes: the lower bits of its index and its signs.
  static constexpr GpuRow kGpu{.index_bytes = 2, .offset = 128, .tail_bytes = 2, .functions = {"iq2_values"}};
  static void codes(const uint8_t* block, uint8_t* to) {
    for (int i = 0; i < 32; ++i) to[i * 2] = block[2 + i], to[i * 2 + 1] = block[34 + i];
  }
  static void middle(const uint8_t* block, std::byte* to) {
    // Each of four lanes reads every fourth chunk: half a word of upper bits. A lane reads every second group: a word
    // of scales for the even groups, then one for the odd groups.
    uint32_t words[4] = {};
    for (int i = 0; i < 32; ++i)
      words[i % 4 / 2] |= uint32_t(block[66 + i / 4] >> (i % 4 * 2) & 3) << (i % 2 * 16 + i / 4 * 2);
    for (int i = 0; i < 16; ++i) words[2 + i % 2] |= uint32_t(block[74 + i / 2] >> (i % 2 * 4) & 15) << (i / 2 * 4);
    std::memcpy(to, words, sizeof words);
  }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x1000};
};

}  // namespace kexa::types

// iq2_xs: 256 weights in 74 bytes, in groups of 16. d (f16); for each 8 weights an index of 9 bits into the grid below
// 7 bits for signs; a scale of 4 bits for each group. weight = d * (0.5 + scale) / 4 * magnitude.
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"
#include "quant/grid_writing.h"

namespace kexa::types {

struct Iq2Xs : Block<Type::kIq2Xs> {
  static constexpr const auto& kGrid = kIq2XsGrid;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int i = 0; i < 32; ++i) {
      const uint32_t index = u16(block + 2 + i * 2);
      const float scale = d * (0.5f + float(block[66 + i / 4] >> (i / 2 % 2 * 4) & 15)) * 0.25f;
      signed_grid(scale, kIq2XsGrid[index & 511], kIq2Values, 8, 2, iq_signs(index >> 9), out + i * 8);
    }
  }

  // The points that write() searches.
  struct Points {
    static constexpr int kPoints = 512, kSize = 8, kRun = 16;
    static constexpr float kUnit = 0.25f, kMost = 43;
    static constexpr const auto& kEntries = kGrid;
    static constexpr const auto& kValues = kIq2Values;
    static constexpr int kBits = 2;
  };
  static KEXA_INLINE void write(const float* from, std::byte* to) {
    grids::GridBlock<Points> block;
    block.begin(from);
    block.fit();
    put_f16(to, block.scale);
    for (int v = 0; v < 32; ++v) {
      const uint16_t packed = uint16_t(block.code(v) | (block.minus[v] & 127) << 9);
      std::memcpy(to + 2 + v * 2, &packed, sizeof packed);
    }
    for (int i = 0; i < 8; ++i)
      to[66 + i] = std::byte(int(block.run_scale[i * 2]) | int(block.run_scale[i * 2 + 1]) << 4);
  }

  static constexpr GpuRow kGpu{
      .index_bytes = 2, .offset = 128, .tail_bytes = 2, .functions = {"grid_signs", "iq2_values"}};
  static void codes(const uint8_t* block, uint8_t* to) { std::memcpy(to, block + 2, 64); }
  static void middle(const uint8_t* block, std::byte* to) {
    // Lanes read every second group: a word of scales for the even groups, then one for the odd groups.
    uint32_t words[2] = {};
    for (int i = 0; i < 16; ++i) words[i % 2] |= uint32_t(block[66 + i / 2] >> (i % 2 * 4) & 15) << (i / 2 * 4);
    std::memcpy(to, words, sizeof words);
  }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x1000};
};

}  // namespace kexa::types

// iq2_xxs: 256 weights in 66 bytes, in groups of 32. d (f16); for each group four indices of 8 bits into the grid, then
// four times 7 bits for signs below a scale of 4 bits. weight = d * (0.5 + scale) / 4 * magnitude.
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"
#include "quant/grid_writing.h"

namespace kexa::types {

struct Iq2Xxs : Block<Type::kIq2Xxs> {
  static constexpr const auto& kGrid = kIq2XxsGrid;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int group = 0; group < 8; ++group) {
      const uint8_t* indices = block + 2 + group * 8;
      const uint32_t signs = u32(indices + 4);
      const float scale = d * (0.5f + float(signs >> 28)) * 0.25f;
      for (int i = 0; i < 4; ++i)
        signed_grid(scale, kIq2XxsGrid[indices[i]], kIq2Values, 8, 2, iq_signs(signs >> (i * 7) & 127),
                    out + group * 32 + i * 8);
    }
  }

  // The points that write() searches.
  struct Points {
    static constexpr int kPoints = 256, kSize = 8, kRun = 32;
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
    for (int run = 0; run < 8; ++run) {
      for (int i = 0; i < 4; ++i) to[2 + run * 8 + i] = std::byte(block.code(run * 4 + i));
      put_u32(to + 6 + run * 8, block.signs_and_scale(run));
    }
  }

  static constexpr GpuRow kGpu{
      .index_bytes = 1, .offset = 128, .tail_bytes = 2, .functions = {"grid_signs", "iq2_values"}};
  static void codes(const uint8_t* block, uint8_t* to) {
    for (int i = 0; i < 8; ++i) std::memcpy(to + i * 4, block + 2 + i * 8, 4);
  }
  static void middle(const uint8_t* block, std::byte* to) { put_signs(block + 6, 8, to); }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x1000};
};

}  // namespace kexa::types

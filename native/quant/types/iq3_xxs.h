// iq3_xxs: 256 weights in 98 bytes, in groups of 32. d (f16); an index of 8 bits into the grid for each 4 weights; then
// for each group four times 7 bits for signs below a scale of 4 bits. weight = d * (0.5 + scale) / 2 * magnitude.
#pragma once

#include "quant/block.h"
#include "quant/codebooks.h"
#include "quant/grid_writing.h"

namespace kexa::types {

struct Iq3Xxs : Block<Type::kIq3Xxs> {
  static constexpr const auto& kGrid = kIq3XxsGrid;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = f16(block);
    for (int group = 0; group < 8; ++group) {
      const uint8_t* indices = block + 2 + group * 8;
      const uint32_t packed = u32(block + 66 + group * 4);
      const float scale = d * (0.5f + float(packed >> 28)) * 0.5f;
      for (int i = 0; i < 8; ++i) {
        const int signs = iq_signs(packed >> (i / 2 * 7) & 127) >> (i % 2 * 4);
        signed_grid(scale, kIq3XxsGrid[indices[i]], kIq3Values, 4, 4, signs, out + group * 32 + i * 4);
      }
    }
  }

  // The points that write() searches.
  struct Points {
    static constexpr int kPoints = 256, kSize = 4, kRun = 32;
    static constexpr float kUnit = 0.5f, kMost = 62;
    static constexpr const auto& kEntries = kGrid;
    static constexpr const auto& kValues = kIq3Values;
    static constexpr int kBits = 4;
  };
  static KEXA_INLINE void write(const float* from, std::byte* to) {
    grids::GridBlock<Points> block;
    block.begin(from);
    block.fit();
    put_f16(to, block.scale);
    for (int v = 0; v < 64; ++v) to[2 + v] = std::byte(block.code(v));
    for (int run = 0; run < 8; ++run) put_u32(to + 66 + run * 4, block.signs_and_scale(run));
  }

  static constexpr GpuRow kGpu{
      .index_bytes = 2, .offset = 128, .tail_bytes = 2, .functions = {"grid_signs", "iq3_values"}};
  static void codes(const uint8_t* block, uint8_t* to) { std::memcpy(to, block + 2, 64); }
  static void middle(const uint8_t* block, std::byte* to) { put_signs(block + 66, 4, to); }

  static constexpr SyntheticScale kSynthetic{0, 2, 0x0800};
};

}  // namespace kexa::types

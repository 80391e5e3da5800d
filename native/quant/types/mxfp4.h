// mxfp4: 32 weights in 17 bytes. A scale of 8 bits that is a power of two (e8m0), codes of 4 bits (e2m1). The levels
// are doubled to be whole numbers. weight = scale / 2 * level.
#pragma once

#include "quant/block.h"
#include "quant/block_writing.h"
#include "quant/codebooks.h"

namespace kexa::types {

struct Mxfp4 : Block<Type::kMxfp4> {
  static constexpr const auto& kLevels = kMxfp4Values;

  static KEXA_INLINE void read(const uint8_t* block, float* out) {
    const float d = half_of_e8m0(block[0]);
    for (int i = 0; i < 16; ++i) {
      const int code = block[1 + i];
      out[i] = d * float(kMxfp4Values[code & 15]);
      out[i + 16] = d * float(kMxfp4Values[code >> 4]);
    }
  }

  static constexpr bool kTakesAnySize = true;  // write() takes values beyond f16
  static KEXA_INLINE void write(const float* from, std::byte* to) {
    constexpr float kMagnitudes[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    constexpr int kBias = 128;  // of the exponent, with the levels doubled
    Wide x[2];
    load_block<2>(x, from);
    const float peak = std::fabs(fit::largest<2>(x));
    std::fill_n(to, 17, std::byte{0});
    if (peak == 0) return;
    int peak_exponent;
    std::frexp(peak, &peak_exponent);
    // 8 and 12 stand for the peak: their exponent is 4 as frexp has it.
    const int middle = peak_exponent - 4;
    float values[kSmallBlock];
    for (int i = 0; i < kSmallBlock; ++i) values[i] = std::ldexp(from[i], -middle);
    float best_error = INFINITY;
    for (int step : {0, 1, -1}) {
      const int exponent = std::clamp(middle + step, -kBias, 255 - 1 - kBias);
      const float scale = std::ldexp(1.0f, exponent - middle), inverse = 1 / scale;
      uint8_t code[kSmallBlock];
      float error = 0;
      for (int i = 0; i < kSmallBlock; ++i) {
        const float value = values[i], magnitude = std::fabs(value) * inverse;
        int level = 0;
        while (level < 7 && magnitude > (kMagnitudes[level] + kMagnitudes[level + 1]) * 0.5f) ++level;
        code[i] = uint8_t(level | (value < 0 && level ? 8 : 0));
        const float off = std::fabs(value) - kMagnitudes[level] * scale;
        error += off * off;
      }
      if (!(error < best_error)) continue;
      best_error = error;
      to[0] = std::byte(exponent + kBias);
      put_halves(code, to + 1);
    }
  }

  static constexpr GpuRow kGpu{.planes = {4}, .offset = 128, .tail_bytes = 1};
  static void codes(const uint8_t* block, uint8_t* to) { take_codes(block + 1, to); }

  static constexpr SyntheticScale kSynthetic{0, 1, 0x78};
};

}  // namespace kexa::types

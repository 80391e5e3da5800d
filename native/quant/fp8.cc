#include "quant/fp8.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/numbers.h"

namespace kexa {

std::vector<float> read_scales(const std::byte* from, Type type, int64_t count, const std::string& name,
                               const std::string& path) {
  std::vector<float> scales(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    uint16_t half;
    if (type == Type::kF32)
      std::memcpy(&scales[i], from + i * 4, 4);
    else
      std::memcpy(&half, from + i * 2, 2), scales[i] = type == Type::kBf16 ? bf16_to_f32(half) : f16_to_f32(half);
    if (std::isfinite(scales[i]) && scales[i] >= 0) continue;
    const std::string found = std::isnan(scales[i])   ? "NaN"
                              : std::isinf(scales[i]) ? scales[i] < 0 ? "-infinity" : "infinity"
                                                      : std::to_string(scales[i]);
    throw Error("KEXA_BAD_FILE", name + ": wanted finite scales of 0 or more, found " + found + " in place " +
                                     std::to_string(i) + "\n  in " + path);
  }
  return scales;
}

KEXA_HOT void read_fp8(const std::byte* codes, const float* scales, int block_columns, int first, int n, float* out) {
  const auto* from = reinterpret_cast<const uint8_t*>(codes);
  for (int i = 0; i < n;) {
    const int block = (first + i) / block_columns;
    const float scale = scales[block];
    const int end = int(std::min<int64_t>(n, int64_t(block + 1) * block_columns - first));
    F32x16 lanes;
    for (; i + kLanes <= end; i += kLanes) load_e4m3(lanes, from + i), store(out + i, lanes * scale);
    for (; i < end; ++i) out[i] = e4m3_to_f32(from[i]) * scale;
  }
}

bool has_fp8_nan(const std::byte* codes, int64_t n) {
  int64_t i = 0;
  // Eight bytes at a time. Adding one carries into the eighth bit only where the seven bits of the magnitude are ones.
  for (uint64_t eight; i + 8 <= n; i += 8) {
    std::memcpy(&eight, codes + i, 8);
    if (((eight & 0x7f7f7f7f7f7f7f7f) + 0x0101010101010101) & 0x8080808080808080) return true;
  }
  for (; i < n; ++i)
    if ((codes[i] & std::byte{0x7f}) == std::byte{0x7f}) return true;
  return false;
}

}  // namespace kexa

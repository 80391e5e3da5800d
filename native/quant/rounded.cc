#include "quant/rounded.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "quant/block_types.h"

namespace kexa {
namespace {

// Adding this to a much smaller number leaves the nearest integer in the lowest bits.
constexpr float kRounding = 12582912.0f;

void round_block(const float* from, int n, RoundedBlock& to) {
  float some[kRoundedColumns] = {};
  if (n < kRoundedColumns) std::memcpy(some, from, size_t(n) * sizeof(float)), from = some;
  // The bits of magnitudes compare like the numbers, and those of infinity and NaN are larger than all others.
  uint32_t most = 0;
  for (int i = 0; i < kRoundedColumns; ++i) most = std::max(most, std::bit_cast<uint32_t>(from[i]) & 0x7fffffff);
  const float largest = std::bit_cast<float>(most), inverse = 32767 / largest;
  std::memset(&to, 0, sizeof to);
  if (!std::isfinite(largest)) to.scale = std::numeric_limits<float>::quiet_NaN();
  // The block stays zero where all values are zeros or subnormal.
  if (!std::isfinite(largest) || !std::isfinite(inverse)) return;
  to.scale = largest / 32767;
  for (int i = 0; i < kRoundedColumns; ++i) {
    const float shifted = from[i] * inverse + kRounding;
    to.values[i] = int16_t(std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRounding));
  }
  for (int group = 0; group < kRoundedColumns / 32; ++group) {
    int32_t sum = 0;
    for (int i = 0; i < 32; ++i) sum += to.values[group * 32 + i];
    to.sums[group] = sum;
  }
}

}  // namespace

bool takes_rounded(Type type) {
  return is_quantized(type) && with_block(type, [](auto block) { return Roundable<decltype(block)>; });
}

void round_row(const float* from, int n, RoundedBlock* to) {
  for (int i = 0; i < n; i += kRoundedColumns) round_block(from + i, std::min(kRoundedColumns, n - i), *to++);
}

void RoundedRows::make(ThreadPool& pool, const float* from, int64_t stride, int rows, int columns) {
  blocks_a_row_ = rounded_blocks(columns);
  pool.run(rows, [&](int r, int) { round_row(from + r * stride, columns, &blocks_[size_t(r) * blocks_a_row_]); });
}

}  // namespace kexa

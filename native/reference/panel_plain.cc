// The inner loops written to be read: what every instruction set's are compared with. Weights become floats by
// read_values(), one row after another.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/numbers.h"
#include "model/store_rows.h"
#include "reference/panel.h"

namespace kexa {
namespace {

void read_elements(const std::byte* from, Type type, int n, float* out) { read_values(from, type, n, out); }

float dot(const float* a, const float* b, int n) {
  float sums[kLanes] = {};
  for (int i = 0; i < n; i += kLanes)
    for (int lane = 0; lane < std::min(kLanes, n - i); ++lane) sums[lane] += a[i + lane] * b[i + lane];
  for (int apart = kLanes / 2; apart > 0; apart /= 2)
    for (int lane = 0; lane < apart; ++lane) sums[lane] += sums[lane + apart];
  return sums[0];
}

void multiply_panel(const PanelSource& weights, const float* const* x, int rows, float* out) {
  std::vector<float> row(weights.columns);
  for (int o = 0; o < kPanelOutputs; ++o) {
    if (weights.type == Type::kF8E4m3)
      read_fp8(weights.rows[o], weights.scales[o], weights.block_columns, 0, weights.columns, row.data());
    else
      read_elements(weights.rows[o], weights.type, weights.columns, row.data());
    for (int r = 0; r < rows; ++r) out[o * kPanelRows + r] = dot(row.data(), x[r], weights.columns);
  }
}

void add_scaled(Type type, const std::byte* const* rows, const float* factors, int count, int n, float* out) {
  std::vector<float> row(n);
  for (int j = 0; j < count; ++j) {
    read_elements(rows[j], type, n, row.data());
    for (int i = 0; i < n; ++i) out[i] += factors[j] * row[i];
  }
}

}  // namespace

const PanelKernels kPlainKernels = {multiply_panel, read_elements, dot, add_scaled};

}  // namespace kexa

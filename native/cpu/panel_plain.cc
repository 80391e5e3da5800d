// The inner loops written to be read. Each instruction set's loops are compared with them. read_values() makes floats
// of the weights, one row after another.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/numbers.h"
#include "cpu/panel.h"
#include "model/store_rows.h"
#include "quant/block_types.h"

// The loops of choosing, compiled for every processor of the architecture.
#define KEXA_SET plain
#include "cpu/choice_vector.h"

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

RoundedScales scales_at(Type type) {
  return with_block(type, [](auto block) {
    using Block = decltype(block);
    if constexpr (Roundable<Block>) return Block::kRounded;
    return RoundedScales{};
  });
}

float half_in(const std::byte* block, int at) {
  uint16_t bits;
  std::memcpy(&bits, block + at, sizeof bits);
  return f16_to_f32(bits);
}

float scale_in(const std::byte* block, const RoundedScales& at) {
  if (!at.is_f32) return half_in(block, at.scale);
  float scale;
  std::memcpy(&scale, block + at.scale, sizeof scale);
  return scale;
}

// A block's values as whole numbers, because its scales are replaced.
void read_integers(const std::byte* block, Type type, float scale, float minima_scale, float* out) {
  const RoundedScales at = scales_at(type);
  std::byte copy[kRoundedColumns];
  std::memcpy(copy, block, size_t(facts_of(type).block_bytes));
  const uint16_t bits = f32_to_f16(scale), minima_bits = f32_to_f16(minima_scale);
  if (at.is_f32)
    std::memcpy(&copy[at.scale], &scale, sizeof scale);
  else
    std::memcpy(&copy[at.scale], &bits, sizeof bits);
  if (at.minima >= 0) std::memcpy(&copy[at.minima], &minima_bits, sizeof bits);
  read_values(copy, type, facts_of(type).block_elements, out);
}

float dot_rounded(const std::byte* row, Type type, int columns, const RoundedBlock* x) {
  const RoundedScales at = scales_at(type);
  const int elements = facts_of(type).block_elements, unit = at.unit;
  float sums[kLanes / 2] = {}, integers[kRoundedColumns], minima[kRoundedColumns];
  for (int start = 0; start < columns; start += elements, row += facts_of(type).block_bytes) {
    const RoundedBlock& rounded = x[start / kRoundedColumns];
    const int16_t* values = rounded.values + start % kRoundedColumns;
    read_integers(row, type, 1, 0, integers);
    for (int first = 0; first < elements; first += unit) {
      int32_t whole[kLanes / 2] = {};
      for (int i = first; i < first + unit; ++i) whole[i % kLanes / 2] += int32_t(integers[i]) * values[i];
      for (int lane = 0; lane < kLanes / 2; ++lane)
        sums[lane] += float(whole[lane]) * (scale_in(row, at) * rounded.scale);
    }
    if (at.minima < 0) continue;
    read_integers(row, type, 0, -1, minima);
    for (int group = 0; group < kRoundedColumns / 32; ++group)
      sums[group] -=
          float(int32_t(minima[group * 32]) * rounded.sums[group]) * (half_in(row, at.minima) * rounded.scale);
  }
  for (int apart = kLanes / 4; apart > 0; apart /= 2)
    for (int lane = 0; lane < apart; ++lane) sums[lane] += sums[lane + apart];
  return sums[0];
}

void multiply_rounded_panel(const PanelSource& weights, const RoundedBlock* const* x, int rows, float* out) {
  for (int o = 0; o < kPanelOutputs; ++o)
    for (int r = 0; r < rows; ++r)
      out[o * kPanelRows + r] = dot_rounded(weights.rows[o], weights.type, weights.columns, x[r]);
}

void add_scaled(Type type, const std::byte* const* rows, const float* factors, int count, int n, float* out) {
  std::vector<float> row(n);
  for (int j = 0; j < count; ++j) {
    read_elements(rows[j], type, n, row.data());
    for (int i = 0; i < n; ++i) out[i] += factors[j] * row[i];
  }
}

}  // namespace

const PanelKernels kPlainKernels = {multiply_panel, multiply_rounded_panel, read_elements, dot, add_scaled,
                                    plain::exps,    plain::next_possible};

}  // namespace kexa

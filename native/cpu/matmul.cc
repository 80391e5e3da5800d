#include "cpu/matmul.h"

#include <algorithm>

#include "base/numbers.h"

namespace kexa {

PanelOutputs panel_outputs(int outputs, int first) {
  PanelOutputs panel;
  const int third = (outputs + kPanelOutputs - 1) / kPanelOutputs * 2;
  for (int o = 0; o < kPanelOutputs; ++o) {
    const int row = o % 3 * third + first / 3 + o / 3;
    panel.row[o] = row < outputs ? row : -1;
  }
  return panel;
}

void multiply_panel(const Matrix& weight, const PanelOutputs& outputs, const float* const* x,
                    const RoundedBlock* const* rounded, int rows, float* out) {
  // A short panel repeats its first row, so that all panels have one code path and one order of sums.
  PanelSource source;
  source.type = weight.type;
  source.columns = weight.columns;
  source.block_columns = weight.scales.block_columns;
  for (int o = 0; o < kPanelOutputs; ++o) {
    const int row = outputs.row[outputs.row[o] < 0 ? 0 : o];
    source.rows[o] = weight.row(row);
    if (weight.type == Type::kF8E4m3) source.scales[o] = weight.scales.row(row);
  }
  if (rounded && takes_rounded(weight.type))
    panel_kernels().multiply_rounded_panel(source, rounded, rows, out);
  else
    panel_kernels().multiply_panel(source, x, rows, out);
}

int outputs_per_task(int columns) {
  constexpr int kWeightsPerTask = 65536;
  return std::clamp(kWeightsPerTask / std::max(1, columns), kPanelOutputs, 20 * kPanelOutputs) / kPanelOutputs *
         kPanelOutputs;
}

void multiply(ThreadPool& pool, const Matrix& weight, InputRows x, OutputRows y, int rows, const RoundedRows* rounded) {
  const int per_task = outputs_per_task(weight.columns);
  pool.run((weight.rows + per_task - 1) / per_task, [&](int task, int) {
    const int end = std::min(weight.rows, (task + 1) * per_task);
    float out[kPanelOutputs * kPanelRows];
    const float* row_of[kPanelRows];
    const RoundedBlock* rounded_of[kPanelRows];
    for (int first = task * per_task; first < end; first += kPanelOutputs) {
      const PanelOutputs outputs = panel_outputs(weight.rows, first);
      for (int start = 0; start < rows; start += kPanelRows) {
        const int count = std::min(kPanelRows, rows - start);
        for (int r = 0; r < count; ++r) row_of[r] = x.data + (start + r) * x.stride;
        if (rounded)
          for (int r = 0; r < count; ++r) rounded_of[r] = rounded->row(start + r);
        multiply_panel(weight, outputs, row_of, rounded ? rounded_of : nullptr, count, out);
        for (int r = 0; r < count; ++r)
          for (int o = 0; o < kPanelOutputs; ++o)
            if (outputs.row[o] >= 0) y.data[(start + r) * y.stride + outputs.row[o]] = out[o * kPanelRows + r];
      }
    }
  });
}

float dot(const float* a, const float* b, int n) { return panel_kernels().dot(a, b, n); }

void read_elements(const std::byte* from, Type type, int n, float* out) {
  panel_kernels().read_elements(from, type, n, out);
}

void read_row(const Matrix& matrix, int row, float* out) {
  if (matrix.type == Type::kF8E4m3)
    return read_fp8(matrix.row(row), matrix.scales.row(row), matrix.scales.block_columns, 0, matrix.columns, out);
  read_elements(matrix.row(row), matrix.type, matrix.columns, out);
}

void write_elements(const float* from, Type type, int n, std::byte* out) {
  if (type == Type::kF32) {
    std::memcpy(out, from, size_t(n) * sizeof(float));
    return;
  }
  for (int i = 0; i < n; ++i) {
    const uint16_t bits = type == Type::kBf16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
    std::memcpy(out + i * 2, &bits, 2);
  }
}

}  // namespace kexa

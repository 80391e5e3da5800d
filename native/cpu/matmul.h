// Matrix products of the CPU device.
#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"
#include "cpu/panel.h"

namespace kexa {

// The weight rows that a panel multiplies; -1: none, which the first never is.
struct PanelOutputs {
  int row[kPanelOutputs];
};
// All outputs of a matrix are dealt to panels, kPanelOutputs to each; this is the share of the one that begins at
// `first`, a multiple of that below `outputs`. A panel takes rows from three places a third of the matrix apart, two
// from each: a row of x then reads three streams in different pages, which the processor fetches sooner than rows that
// follow each other.
PanelOutputs panel_outputs(int outputs, int first);

// out[o * kPanelRows + r] = weight row outputs.row[o] . x[r], for `rows` <= kPanelRows.
// Each product is summed in f32 in an order that depends on the row's length alone, so it is the same to the last bit
// whatever else the panel holds.
// With `rounded`, the same rows, they are what weights of a type that takes_rounded() names are multiplied by.
void multiply_panel(const Matrix& weight, const PanelOutputs& outputs, const float* const* x,
                    const RoundedBlock* const* rounded, int rows, float* out);

// y[r][o] = weight row o . x[r]; strides in floats.
void multiply(ThreadPool& pool, const Matrix& weight, const float* x, int64_t x_stride, int rows, float* y,
              int64_t y_stride, const RoundedRows* rounded = nullptr);

// Outputs a task should cover so that handing it out costs little beside it; a multiple of kPanelOutputs.
int outputs_per_task(int columns);

// a . b over n floats, in the order multiply_panel uses.
float dot(const float* a, const float* b, int n);

// One row of a matrix as floats.
void read_row(const Matrix& matrix, int row, float* out);

// n stored elements as floats, and back.
void read_elements(const std::byte* from, Type type, int n, float* out);
void write_elements(const float* from, Type type, int n, std::byte* out);

}  // namespace kexa

// Products with matrices on the CPU device.
#pragma once

#include "base/thread_pool.h"
#include "cpu/panel.h"
#include "model/weights.h"

namespace kexa {

// The weight rows of a panel. -1: no row; the first is never -1.
struct PanelOutputs {
  int row[kPanelOutputs];
};
// The rows of one panel. A matrix's outputs are dealt to panels of kPanelOutputs; `first` names the panel and is a
// multiple of kPanelOutputs below `outputs`. A panel takes two rows from each of three places, a third of the matrix
// apart. A row of x then meets three streams in different pages, which the processor fetches sooner than successive
// rows.
PanelOutputs panel_outputs(int outputs, int first);

// out[o * kPanelRows + r] = weight row outputs.row[o] . x[r], for `rows` <= kPanelRows. Each product is summed in f32
// in an order that depends on the row's length alone, so its bits do not depend on the rest of the panel. `rounded`:
// the same rows in 16 bits, used for weights whose type takes_rounded() accepts.
void multiply_panel(const Matrix& weight, const PanelOutputs& outputs, const float* const* x,
                    const RoundedBlock* const* rounded, int rows, float* out);

// Rows of floats: where the first begins, and from a row to the next (floats).
struct InputRows {
  const float* data;
  int64_t stride;
};
struct OutputRows {
  float* data;
  int64_t stride;
};
// y[r][o] = weight row o . x[r], for `rows` rows. `rounded`: as multiply_panel() has it.
void multiply(ThreadPool& pool, const Matrix& weight, InputRows x, OutputRows y, int rows,
              const RoundedRows* rounded = nullptr);

// Outputs that a task should have, so that handing it out costs little. A multiple of kPanelOutputs.
int outputs_per_task(int columns);

// a . b over n floats, summed in the order of multiply_panel().
float dot(const float* a, const float* b, int n);

// One row of a matrix, as floats.
void read_row(const Matrix& matrix, int row, float* out);

// Reads n stored elements as floats, and writes them.
void read_elements(const std::byte* from, Type type, int n, float* out);
void write_elements(const float* from, Type type, int n, std::byte* out);

}  // namespace kexa

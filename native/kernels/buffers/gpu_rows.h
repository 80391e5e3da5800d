// Makes rows of matrices in their layout on the GPU.
#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"
#include "plan/gpu_plan.h"

namespace kexa {

// Whether the matrix has the same bytes as its rows on the GPU.
inline bool is_stored_as_on_gpu(const Matrix& matrix) {
  return !matrix.is_made() && !is_quantized(matrix.type) && matrix.type != Type::kF8E4m3 &&
         bytes_of(matrix.type, matrix.columns) == gpu_row_bytes(matrix.type, matrix.columns);
}

// Makes `count` rows of the matrix from `first` on: converted, repacked and padded to gpu_row_bytes() each. Throws
// KEXA_UNSUPPORTED if a value does not fit its type. Throws KEXA_BAD_FILE, naming `label`, if an FP8 weight is NaN.
// `has_dots`: in the order of products in whole numbers (dots_layout.h), if the type takes them.
void make_gpu_rows(ThreadPool& pool, const Matrix& matrix, int first, int count, const std::string& label,
                   bool has_dots, std::byte* to);

}  // namespace kexa

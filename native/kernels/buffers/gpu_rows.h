// Rows of matrices as they stand on the GPU.
#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"
#include "plan/gpu_plan.h"

namespace kexa {

// Whether the matrix's bytes are those of its rows on the GPU.
inline bool is_stored_as_on_gpu(const Matrix& matrix) {
  return !matrix.held && !is_quantized(matrix.type) && matrix.type != Type::kF8E4m3 &&
         bytes_of(matrix.type, matrix.columns) == gpu_row_bytes(matrix.type, matrix.columns);
}

// Makes `count` rows of the matrix from `first` on, of gpu_row_bytes() each: stored anew, repacked, padded. Throws
// KEXA_UNSUPPORTED if a value does not fit its type, KEXA_BAD_FILE, with `label`, for a weight in FP8 that is not a
// number.
void make_gpu_rows(ThreadPool& pool, const Matrix& matrix, int first, int count, const std::string& label,
                   std::byte* to);

}  // namespace kexa

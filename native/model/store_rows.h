// Converts rows of a matrix to another type.
#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"

namespace kexa {

// Reads `elements` stored values as floats.
void read_values(const std::byte* data, Type type, int64_t elements, float* out);

// Rows of a matrix that are best read together, and a multiple of what one task should take.
inline int rows_at_once(const Matrix& matrix) { return matrix.packed ? kPackedStrip : 1; }

// Reads `count` rows of a matrix as floats, from row `first` on. FP8 values are scaled, packed ones unpacked.
void read_stored_rows(const Matrix& matrix, int first, int count, float* out);

// Writes `count` rows of `from` as `type`: bytes_of(type, from.columns) bytes each. Throws KEXA_UNSUPPORTED, naming the
// matrix and the element, if a value does not fit the type. Throws KEXA_BAD_FILE as repack_rows() does.
void store_rows(const Matrix& from, int first, int count, Type type, std::byte* out);

// Calls task(first row, rows) for `count` rows of the matrix from `first` on, rows_at_once() of them at a time, on the
// pool's threads. If tasks throw, it throws the error of the lowest rows once all are done, whatever the threads'
// order.
void each_rows(ThreadPool& pool, const Matrix& matrix, int first, int count, const std::function<void(int, int)>& task);

}  // namespace kexa

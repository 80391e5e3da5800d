// Converts rows of a matrix to another type.
#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"

namespace kexa {

// Reads `elements` stored values as floats.
void read_values(const std::byte* data, Type type, int64_t elements, float* out);

// Reads one row of a matrix as floats. FP8 values are scaled.
void read_stored_row(const Matrix& matrix, int row, float* out);

// Writes one row of `from` as `type`: bytes_of(type, from.columns) bytes. Throws KEXA_UNSUPPORTED, naming the matrix
// and the element, if a value does not fit the type.
void store_row(const Matrix& from, int row, Type type, std::byte* out);

// Calls task(row) for `count` rows from `first` on, on the pool's threads. If rows throw, it throws the error of the
// lowest row once all are done, whatever the threads' order.
void each_row(ThreadPool& pool, int first, int count, const std::function<void(int)>& task);

}  // namespace kexa

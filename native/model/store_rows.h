// Rows of a matrix in another type.
#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"

namespace kexa {

// A matrix's values, `elements` of them, as floats.
void read_values(const std::byte* data, Type type, int64_t elements, float* out);

// One row of a matrix as floats, FP8 scaled.
void read_stored_row(const Matrix& matrix, int row, float* out);

// Writes one row of `from` as `type`, which has bytes_of(type, from.columns). Throws KEXA_UNSUPPORTED, naming the
// matrix and the element, if a value does not fit the type.
void store_row(const Matrix& from, int row, Type type, std::byte* out);

// Calls task(row) for `count` rows from `first` on, on the pool's threads. Throws the error of the first row that has
// one, however the threads ran, once all are done.
void each_row(ThreadPool& pool, int first, int count, const std::function<void(int)>& task);

}  // namespace kexa

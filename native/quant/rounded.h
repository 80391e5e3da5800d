// Activations as 16-bit integers, for products in whole numbers: the option `activations: 'i16'`. A row is rounded once
// a step, whatever types of weights it is multiplied by.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "base/type.h"

namespace kexa {

constexpr int kRoundedColumns = 256;

// A value is scale * integer. The end of a row that ends within a block is filled with zeros.
struct alignas(64) RoundedBlock {
  int16_t values[kRoundedColumns];     // -32767 to 32767
  int32_t sums[kRoundedColumns / 32];  // sums of 32 values each
  float scale;                         // NaN if a value was not finite
};

constexpr int rounded_blocks(int columns) { return (columns + kRoundedColumns - 1) / kRoundedColumns; }

// Whether a type is multiplied by rounded activations, in whole numbers. Other types are multiplied by the activations
// as they are.
bool takes_rounded(Type type);

// Writes n activations as rounded_blocks(n) blocks. Each is rounded to the nearest integer, to the even one of two,
// where 32767 stands for the block's largest magnitude.
void round_row(const float* from, int n, RoundedBlock* to);

// The input rows of one product, rounded.
class RoundedRows {
 public:
  // Makes room for as many rows of as many columns.
  void reserve(int rows, int columns) { blocks_.resize(size_t(rows) * rounded_blocks(columns)); }
  // Rounds `rows` rows of `columns` values; the rows are `stride` floats apart.
  void make(ThreadPool& pool, const float* from, int64_t stride, int rows, int columns);
  const RoundedBlock* row(int r) const { return &blocks_[size_t(r) * blocks_a_row_]; }

 private:
  int blocks_a_row_ = 0;
  std::vector<RoundedBlock> blocks_;
};

}  // namespace kexa

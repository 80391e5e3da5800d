// Activations as 16-bit integers, for products with blocks of weights in integers: what the option `activations: 'i16'`
// asks for. A row is rounded once a step, whatever the types of the weights that it meets.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "base/type.h"

namespace kexa {

constexpr int kRoundedColumns = 256;

// value = scale * integer. A row that ends within a block goes on with zeros.
struct alignas(64) RoundedBlock {
  int16_t values[kRoundedColumns];     // -32767 to 32767
  int32_t sums[kRoundedColumns / 32];  // of each 32 values
  float scale;                         // NaN if any of them was no finite number
};

constexpr int rounded_blocks(int columns) { return (columns + kRoundedColumns - 1) / kRoundedColumns; }

// The types that are multiplied in integers. The others are multiplied by the activations as they are.
constexpr bool takes_rounded(Type type) {
  switch (type) {
    case Type::kQ8_0:
    case Type::kQ4_0:
    case Type::kQ5_0:
    case Type::kIq4Nl:
    case Type::kQ3K:
    case Type::kQ4K:
    case Type::kQ5K:
    case Type::kQ6K:
    case Type::kIq4Xs:
      return true;
    default:
      return false;
  }
}

// n activations into rounded_blocks(n). To the nearest integer, of two the even one, of the largest magnitude by 32767.
void round_row(const float* from, int n, RoundedBlock* to);

// The rows of one product's input, rounded.
class RoundedRows {
 public:
  // For that many rows of so many columns, or fewer.
  void reserve(int rows, int columns) { blocks_.resize(size_t(rows) * rounded_blocks(columns)); }
  // `rows` rows of `columns`, `stride` floats apart.
  void make(ThreadPool& pool, const float* from, int64_t stride, int rows, int columns);
  const RoundedBlock* row(int r) const { return &blocks_[size_t(r) * blocks_a_row_]; }

 private:
  int blocks_a_row_ = 0;
  std::vector<RoundedBlock> blocks_;
};

}  // namespace kexa

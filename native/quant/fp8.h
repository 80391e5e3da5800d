// Matrices in FP8: bytes in E4M3, and scales that each serve a block of them. A weight is its byte's value times its
// scale, rounded to f32 once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/type.h"

namespace kexa {

// Which scale is whose. Blocks of a column, a row or the whole matrix are blocks like others.
struct ScaleGrid {
  const float* values = nullptr;          // [grid rows, columns], from the block on that holds the matrix's first row
  int columns = 1;                        // of the grid
  int block_rows = 1, block_columns = 1;  // weights that share a scale; a block ends at the matrix's edge
  int skipped_rows = 0;                   // rows of the first block that are another matrix's

  // The scales of a row of the matrix, one for every block_columns weights.
  const float* row(int row) const { return values + int64_t(skipped_rows + row) / block_rows * columns; }
};

// Scales as they are stored, in f32, f16 or bf16, as floats. Throws KEXA_BAD_FILE, naming the tensor and its file, for
// one that is negative or not finite.
std::vector<float> read_scales(const std::byte* from, Type type, int64_t count, const std::string& name,
                               const std::string& path);

// n weights of a row, of which the first is in column `first`. `codes` is where that one is, `scales` where the row's
// scales are.
void read_fp8(const std::byte* codes, const float* scales, int block_columns, int first, int n, float* out);

// Whether any of n weights is not a number.
bool has_fp8_nan(const std::byte* codes, int64_t n);

}  // namespace kexa

// Matrices in FP8: bytes in E4M3, and scales, each for a block of bytes. A weight is its byte's value times its scale,
// rounded to f32 once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/type.h"

namespace kexa {

// The scales of a matrix and the blocks that they belong to. A block may be as small as one row or as large as the
// matrix.
struct ScaleGrid {
  const float* values = nullptr;          // [grid rows, columns], beginning at the block of the matrix's first row
  int columns = 1;                        // of the grid
  int block_rows = 1, block_columns = 1;  // weights that share a scale; a block ends at the matrix's edge
  int skipped_rows = 0;                   // rows of the first block that belong to another matrix

  // Returns the scales of a row of the matrix, one for every block_columns weights.
  const float* row(int row) const { return values + int64_t(skipped_rows + row) / block_rows * columns; }
};

// Reads `count` scales that are stored in f32, f16 or bf16. Throws KEXA_BAD_FILE, naming the tensor and its file, if a
// scale is negative or not finite.
std::vector<float> read_scales(const std::byte* from, Type type, int64_t count, const std::string& name,
                               const std::string& path);

// Reads n weights of a row, from column `first` on. `codes` points to the first of these weights, `scales` to the scale
// of the row's first block.
void read_fp8(const std::byte* codes, const float* scales, int block_columns, int first, int n, float* out);

// Returns whether any of n weights is NaN.
bool has_fp8_nan(const std::byte* codes, int64_t n);

}  // namespace kexa

// How FP8 matrices lie on the GPU: each row with its scales, packed once at load.
#pragma once

#include <string>

#include "kernels/source/weight_units.h"
#include "model/weights.h"

namespace kexa {

// Packs one row of `matrix`. Overwrites gpu_row_bytes() at `to` with
// 1. the bytes, and zeros up to whole chunks of eight, all chunks in the order of weight_units();
// 2. the row's scales in f32, one for every kScaleColumns columns;
// 3. zeros.
// Scales that serve more columns or rows are repeated, so that a kernel needs nothing but the row. e4m3.wgsl reads the
// bytes; times the scale, in f32, they are the values of read_fp8(). Throws KEXA_BAD_FILE, with `label`, for a weight
// that is NaN, because GPUs differ in what they make of NaN.
void pack_fp8_row(const Matrix& matrix, int row, const std::string& label, std::byte* to);

UnitText fp8_unit_text(int columns);

}  // namespace kexa

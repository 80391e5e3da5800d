// How FP8 matrices lie on the GPU: rows with their scales, packed once at load.
#pragma once

#include <string>

#include "kernels/source/weight_units.h"
#include "model/weights.h"

namespace kexa {

// One row of `matrix` to `to`, which has gpu_row_bytes() and is overwritten whole: the bytes, zeros to whole chunks of
// eight, all chunks in the order of weight_units(), then the row's scales in f32, one for every kScaleColumns columns,
// then zeros. Scales that
// serve more columns or rows are written again, so that a kernel needs nothing beside the row. Throws KEXA_BAD_FILE,
// with `label`, for a weight that is not a number: what a GPU makes of those is its own affair.
void pack_fp8_row(const Matrix& matrix, int row, const std::string& label, std::byte* to);

// e4m3(), the values of four bytes in WGSL. Times the scale, in f32, they are those of read_fp8().
std::string_view fp8_decoder();

UnitText fp8_unit_text(int columns);

}  // namespace kexa

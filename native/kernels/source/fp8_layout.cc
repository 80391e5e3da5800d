#include "kernels/source/fp8_layout.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "plan/gpu_plan.h"

namespace kexa {

void pack_fp8_row(const Matrix& matrix, int row, const std::string& label, std::byte* to) {
  const int columns = matrix.columns;
  if (has_fp8_nan(matrix.row(row), columns))
    throw Error("KEXA_BAD_FILE", label + ": a weight is not a number: the weights are damaged");
  const float* scales = matrix.scales.row(row);
  std::memset(to, 0, size_t(gpu_row_bytes(Type::kF8E4m3, columns)));
  const WeightUnits units = weight_units(Type::kF8E4m3, columns);
  std::byte* chunk = to;
  for (int unit = 0; unit < units.count; ++unit)
    for (int k = 0; k < units.chunks; ++k, chunk += 8) {
      const int first = units.chunk(unit, k) * 8;
      std::memcpy(chunk, matrix.row(row) + first, size_t(std::min(8, columns - first)));
    }
  std::byte* row_scales = to + padded(columns);
  for (int i = 0; i < scales_of_row(columns); ++i)
    std::memcpy(row_scales + i * 4, &scales[i * kScaleColumns / matrix.scales.block_columns], 4);
}

UnitText fp8_unit_text(int columns) {
  const std::string first_scale = std::to_string(padded(columns) / 4) + "u";
  const int chunks = weight_units(Type::kF8E4m3, columns).chunks;
  const std::string units = std::to_string(kScaleColumns / 8 / chunks) + "u";
  if (chunks == 1)
    return {"codes: vec2u, scale: u32", "pair(unit), word(" + first_scale + " + unit / " + units + ")",
            "return vec4u(own.codes, own.scale, 0u);\n"};
  return {"codes: vec4u, scale: u32", "quad(unit), word(" + first_scale + " + unit / " + units + ")",
          "return vec4u(select(own.codes.xy, own.codes.zw, k == 1u), own.scale, 0u);\n"};
}

}  // namespace kexa

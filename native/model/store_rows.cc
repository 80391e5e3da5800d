#include "model/store_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>

#include "base/error.h"
#include "base/numbers.h"
#include "quant/dequantize.h"
#include "quant/quantize.h"

namespace kexa {

void read_values(const std::byte* data, Type type, int64_t elements, float* out) {
  if (is_quantized(type)) return dequantize(type, data, elements, out);
  if (type == Type::kF32) {
    std::memcpy(out, data, size_t(elements) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < elements; ++i) {
    uint16_t bits;
    std::memcpy(&bits, data + i * 2, 2);
    out[i] = type == Type::kBf16 ? bf16_to_f32(bits) : f16_to_f32(bits);
  }
}

void read_stored_rows(const Matrix& matrix, int first, int count, float* out) {
  if (matrix.packed) return read_packed_rows(*matrix.packed, first, count, out);
  for (int row = first; row < first + count; ++row, out += matrix.columns)
    if (matrix.type == Type::kF8E4m3)
      read_fp8(matrix.row(row), matrix.scales.row(row), matrix.scales.block_columns, 0, matrix.columns, out);
    else
      read_values(matrix.row(row), matrix.type, matrix.columns, out);
}

namespace {

// Writes the values of one row.
void store_values(const Matrix& from, int row, std::span<const float> values, Type type, std::byte* out) {
  if (is_quantized(type)) {
    try {
      return quantize(type, values.data(), from.columns, out, int64_t(row) * from.columns);
    } catch (const Error& error) {
      throw Error(error.code, std::string(from.name) + ": " + error.what());
    }
  }
  if (type == Type::kF32) {
    std::memcpy(out, values.data(), values.size_bytes());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = type == Type::kBf16 ? f32_to_bf16(values[i]) : f32_to_f16(values[i]);
    if (type == Type::kF16 && std::isfinite(values[i]) && (bits & 0x7c00u) == 0x7c00u)
      throw Error("KEXA_UNSUPPORTED", std::string(from.name) + ": holds " + std::to_string(values[i]) +
                                          ", which f16 cannot (it ends at 65,504); use weights: 'bf16'");
    std::memcpy(out + i * 2, &bits, 2);
  }
}

}  // namespace

void store_rows(const Matrix& from, int first, int count, Type type, std::byte* out) {
  if (from.packed && type == from.packed->type) return repack_rows(*from.packed, first, count, out);
  const size_t columns = size_t(from.columns);
  std::vector<float> values(columns * size_t(count));
  read_stored_rows(from, first, count, values.data());
  const int64_t row_bytes = bytes_of(type, from.columns);
  for (int i = 0; i < count; ++i)
    store_values(from, first + i, std::span(values).subspan(size_t(i) * columns, columns), type, out + i * row_bytes);
}

void each_rows(ThreadPool& pool, const Matrix& matrix, int first, int count,
               const std::function<void(int, int)>& task) {
  const int step = rows_at_once(matrix);
  pool.run((count + step - 1) / step, [&](int index, int) {
    const int start = index * step;
    task(first + start, std::min(step, count - start));
  });
}

}  // namespace kexa

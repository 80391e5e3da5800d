#include "model/store_rows.h"

#include <cmath>
#include <cstring>
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

void read_stored_row(const Matrix& matrix, int row, float* out) {
  if (matrix.type == Type::kF8E4m3)
    return read_fp8(matrix.row(row), matrix.scales.row(row), matrix.scales.block_columns, 0, matrix.columns, out);
  read_values(matrix.row(row), matrix.type, matrix.columns, out);
}

void store_row(const Matrix& from, int row, Type type, std::byte* out) {
  std::vector<float> values(from.columns);
  read_stored_row(from, row, values.data());
  if (is_quantized(type)) {
    try {
      return quantize(type, values.data(), from.columns, out, int64_t(row) * from.columns);
    } catch (const Error& error) {
      throw Error(error.code, std::string(from.name) + ": " + error.what());
    }
  }
  if (type == Type::kF32) {
    std::memcpy(out, values.data(), values.size() * sizeof(float));
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

void each_row(ThreadPool& pool, int first, int count, const std::function<void(int)>& task) {
  pool.run(count, [&](int index, int) { task(first + index); });
}

}  // namespace kexa

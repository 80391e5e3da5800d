#include "kernels/buffers/gpu_rows.h"

#include <cstring>

#include "kernels/source/fp8_layout.h"
#include "kernels/source/quantized_layout.h"
#include "model/store_rows.h"

namespace kexa {

void make_gpu_rows(ThreadPool& pool, const Matrix& matrix, int first, int count, const std::string& label,
                   std::byte* out) {
  const Type type = matrix.stored();
  const size_t row_bytes = size_t(bytes_of(type, matrix.columns));
  const size_t gpu_bytes = size_t(gpu_row_bytes(type, matrix.columns));
  each_row(pool, first, count, [&](int row) {
    std::byte* to = out + size_t(row - first) * gpu_bytes;
    if (type == Type::kF8E4m3) return pack_fp8_row(matrix, row, label, to);
    std::vector<std::byte> blocks;
    const std::byte* stored = matrix.row(row);
    if (matrix.held) {
      blocks.resize(row_bytes);
      store_row(matrix, row, type, blocks.data());
      stored = blocks.data();
    }
    if (is_quantized(type)) return repack_row(type, stored, matrix.columns, to);
    std::memcpy(to, stored, row_bytes);
    std::memset(to + row_bytes, 0, gpu_bytes - row_bytes);
  });
}

}  // namespace kexa

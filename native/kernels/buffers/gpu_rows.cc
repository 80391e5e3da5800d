#include "kernels/buffers/gpu_rows.h"

#include <cstring>

#include "kernels/source/dots_layout.h"
#include "kernels/source/fp8_layout.h"
#include "kernels/source/quantized_layout.h"
#include "model/store_rows.h"

namespace kexa {

void make_gpu_rows(ThreadPool& pool, const Matrix& matrix, int first, int count, const std::string& label,
                   bool has_dots, std::byte* out) {
  const Type type = matrix.stored();
  const size_t row_bytes = size_t(bytes_of(type, matrix.columns));
  const size_t gpu_bytes = size_t(gpu_row_bytes(type, matrix.columns));
  each_rows(pool, matrix, first, count, [&](int start, int rows) {
    std::vector<std::byte> made;
    if (matrix.is_made()) {
      made.resize(row_bytes * size_t(rows));
      store_rows(matrix, start, rows, type, made.data());
    }
    for (int i = 0; i < rows; ++i) {
      std::byte* to = out + size_t(start + i - first) * gpu_bytes;
      if (type == Type::kF8E4m3) {
        pack_fp8_row(matrix, start + i, label, to);
        continue;
      }
      const std::byte* stored = matrix.is_made() ? made.data() + row_bytes * size_t(i) : matrix.row(start + i);
      if (is_quantized(type)) {
        repack_row(type, stored, matrix.columns, unit_order(type, has_dots), to);
        continue;
      }
      std::memcpy(to, stored, row_bytes);
      std::memset(to + row_bytes, 0, gpu_bytes - row_bytes);
    }
  });
}

}  // namespace kexa

#include "model/open_packed.h"

#include <cmath>
#include <cstring>
#include <string>

#include "base/error.h"

namespace kexa {
namespace {

[[noreturn]] void bad(const PackedMatrix::Place& place, const std::string& wanted, const std::string& found) {
  throw Error("KEXA_BAD_FILE", place.name + ": wanted " + wanted + ", found " + found + "\n  in " + place.path);
}

float read_factor(const PackedMatrix::Place& place, bool is_divisor) {
  float stored;
  std::memcpy(&stored, place.data, sizeof stored);
  const float factor = is_divisor ? 1 / stored : stored;
  if (!(stored > 0) || !std::isfinite(stored) || !std::isfinite(factor))
    bad(place, "a finite factor above 0", std::to_string(stored));
  return factor;
}

std::vector<int32_t> read_groups(const PackedMatrix::Place& place, int columns, int group_size) {
  const int groups = columns / group_size;
  std::vector<int32_t> group_of(static_cast<size_t>(columns));
  std::vector<int> sizes(static_cast<size_t>(groups));
  std::memcpy(group_of.data(), place.data, group_of.size() * sizeof(int32_t));
  for (int i = 0; i < columns; ++i) {
    const int group = group_of[size_t(i)];
    if (group < 0 || group >= groups)
      bad(place, "groups from 0 to " + std::to_string(groups - 1),
          std::to_string(group) + " for column " + std::to_string(i));
    ++sizes[size_t(group)];
  }
  // Two ways to read an index that is none differ then.
  for (int group = 0; group < groups; ++group)
    if (sizes[size_t(group)] != group_size)
      bad(place, std::to_string(group_size) + " columns in group " + std::to_string(group),
          std::to_string(sizes[size_t(group)]));
  return group_of;
}

void check_shape(const PackedMatrix::Place& place, const TensorEntry& entry) {
  int64_t found[2];
  std::memcpy(found, place.data, sizeof found);
  const auto text = [](int64_t rows, int64_t columns) {
    return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
  };
  const int64_t rows = entry.packed->stored_rows, columns = entry.shape[1];
  if (found[0] != rows || found[1] != columns) bad(place, text(rows, columns), text(found[0], found[1]));
}

}  // namespace

PackedMatrix open_packed(const TensorEntry& entry, const std::byte* codes, const FindPlace& find) {
  const PackedEntry& packed = *entry.packed;
  PackedMatrix matrix{.type = entry.type,
                      .columns = int(entry.shape[1]),
                      .stored_rows = packed.stored_rows,
                      .first_row = packed.first_row,
                      .bits = packed.bits,
                      .is_float = packed.is_float,
                      .code_layout = packed.code_layout,
                      .scale_format = packed.scale_format,
                      .zero_layout = packed.zero_layout,
                      .group_size = packed.group_size,
                      .has_one_scale = packed.has_one_scale,
                      .codes = codes,
                      .scales = {},
                      .zeros = {},
                      .group_of = {}};
  if (matrix.code_bytes() > packed.code_bytes)
    throw Error("KEXA_TENSOR_MISMATCH", entry.name + ": wanted " + std::to_string(matrix.code_bytes()) +
                                            " bytes of codes, found " + std::to_string(packed.code_bytes));
  matrix.scales = find(packed.scales, matrix.scale_bytes());
  if (packed.zeros) matrix.zeros = find(*packed.zeros, matrix.zero_bytes());
  if (packed.factor) matrix.factor = read_factor(find(*packed.factor, sizeof(float)), packed.divides_by_factor);
  if (packed.group_index)
    matrix.group_of = read_groups(find(*packed.group_index, matrix.columns * int64_t(sizeof(int32_t))), matrix.columns,
                                  matrix.group_size);
  if (packed.weight_shape) check_shape(find(*packed.weight_shape, 2 * sizeof(int64_t)), entry);
  return matrix;
}

}  // namespace kexa

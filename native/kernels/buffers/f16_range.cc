#include "kernels/buffers/f16_range.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/store_rows.h"

namespace kexa {
namespace {

// The bits of the largest magnitude. Their order is that of the magnitudes, and NaN is above all.
template <typename Bits>
Bits largest_magnitude(const Matrix& matrix) {
  constexpr Bits kNoSign = Bits(~Bits{0}) >> 1;
  Bits largest = 0;
  const int64_t count = int64_t(matrix.rows) * matrix.columns;
  for (int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, matrix.data + i * int64_t(sizeof bits), sizeof bits);
    largest = std::max(largest, Bits(bits & kNoSign));
  }
  return largest;
}

float largest_value(const Matrix& matrix) {
  const int step = rows_at_once(matrix);
  std::vector<float> rows(size_t(step) * size_t(matrix.columns));
  float largest = 0;
  for (int first = 0; first < matrix.rows; first += step) {
    const int count = std::min(step, matrix.rows - first);
    read_stored_rows(matrix, first, count, rows.data());
    // The comparison is written so that a NaN is kept.
    for (float value : std::span(rows).first(size_t(count) * size_t(matrix.columns)))
      largest = !(std::abs(value) <= largest) ? std::abs(value) : largest;
    if (!(largest <= 65504)) break;
  }
  return largest;
}

float largest(const Matrix& matrix) {
  if (!matrix.data) return 0;  // made-up weights are small
  if (matrix.packed) return largest_value(matrix);
  switch (matrix.type) {
    case Type::kF16:
      return f16_to_f32(largest_magnitude<uint16_t>(matrix));
    case Type::kBf16:
      return bf16_to_f32(largest_magnitude<uint16_t>(matrix));
    case Type::kF32:
      return std::bit_cast<float>(largest_magnitude<uint32_t>(matrix));
    default:
      return largest_value(matrix);
  }
}

bool fits(const Matrix& matrix) {
  const float most = largest(matrix);
  // Storing a weight in another type may round it up, but by less than half of it.
  if (!matrix.held || most <= 32752) return most <= 65504;
  const int step = rows_at_once(matrix);
  std::vector<std::byte> rows(size_t(bytes_of(*matrix.held, matrix.columns)) * size_t(step));
  for (int first = 0; first < matrix.rows; first += step) {
    const int count = std::min(step, matrix.rows - first);
    store_rows(matrix, first, count, *matrix.held, rows.data());
    const Matrix stored{.data = rows.data(), .type = *matrix.held, .rows = count, .columns = matrix.columns};
    if (!(largest(stored) <= 65504)) return false;
  }
  return true;
}

}  // namespace

void demand_f16_range(const ModelDescription& description, const Weights& weights) {
  const auto demand = [](const std::string& name, const Matrix& matrix) {
    if (!fits(matrix))
      throw Error("KEXA_UNSUPPORTED", name +
                                          ": gpuKernels 'matrices' multiplies in f16, whose largest value is 65504, " +
                                          "and this matrix holds a larger one; load with gpuKernels: 'subgroups'");
  };
  for (int i = 0; i < description.layer_count(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    const std::string name = "layer " + std::to_string(description.part.first_layer + i) + " ";
    demand(name + "q", layer.q);
    demand(name + "k", layer.k);
    demand(name + "v", layer.v);
    demand(name + "o", layer.o);
  }
  if (description.part.has_end && description.tied_head) demand("embed", weights.embed);
  if (description.part.has_end && !description.tied_head) demand("head", weights.head);
  if (description.mtp) demand("mtp fc", weights.mtp.fc);
}

}  // namespace kexa

// Rotary position embedding.
#pragma once

#include <vector>

#include "model/description.h"

namespace kexa {

// Radians for each position and rotated pair: theta^(-2i / head_dim), scaled as in Llama 3.1 or divided by the model's
// own factors, if it has them. [head_dim / 2]
std::vector<double> rope_frequencies(const ModelDescription& description);

// The rotations of positions [0, positions) as products of two, so that a kernel needs neither cosine nor sine.
// Position p rotates a pair by row p % kRopeLow, then by row kRopeLow + p / kRopeLow. The table is [kRopeLow +
// ceil(positions / kRopeLow), head_dim / 2] of (cosine, sine), computed in f64. In f32, the product of two is within
// 1.6e-7 of the exact rotation.
std::vector<float> rope_table(const ModelDescription& description, int positions);
constexpr int kRopeLow = 256;
inline int64_t rope_table_floats(const ModelDescription& description, int positions) {
  return int64_t(kRopeLow + (positions + kRopeLow - 1) / kRopeLow) * (description.head_dim / 2) * 2;
}

}  // namespace kexa

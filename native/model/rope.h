// Rotary position embedding.
#pragma once

#include <vector>

#include "model/description.h"

namespace kexa {

// Radians a position for each rotated pair: theta^(-2i / head_dim), scaled as Llama 3.1 does or by factors of
// the model's own if asked.
std::vector<double> rope_frequencies(const ModelDescription& description);

// The turns of positions [0, positions) as products of two, so that a kernel needs neither cosine nor sine: position p
// turns a pair by row p % kRopeLow, then by row kRopeLow + p / kRopeLow. [kRopeLow + ceil(positions / kRopeLow),
// head_dim / 2] of (cosine, sine), computed in double. A product of two, in f32, is within 1.6e-7 of the turn.
std::vector<float> rope_table(const ModelDescription& description, int positions);
constexpr int kRopeLow = 256;
inline int64_t rope_table_floats(const ModelDescription& description, int positions) {
  return int64_t(kRopeLow + (positions + kRopeLow - 1) / kRopeLow) * (description.head_dim / 2) * 2;
}

}  // namespace kexa

// Rotary position embedding.
#pragma once

#include <vector>

#include "model/description.h"

namespace kexa {

// Radians a position for each rotated pair: theta^(-2i / head_dim), scaled as Llama 3.1 does if asked.
std::vector<double> rope_frequencies(const ModelDescription& description);

}  // namespace kexa

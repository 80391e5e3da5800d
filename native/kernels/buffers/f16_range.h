// The range of weights that f16 products need.
#pragma once

#include "model/weights.h"

namespace kexa {

// Throws KEXA_UNSUPPORTED, naming the first matrix of Matmul that has a weight beyond f16's largest, or NaN. Reads all
// of these matrices once.
void demand_f16_range(const ModelDescription& description, const Weights& weights);

}  // namespace kexa

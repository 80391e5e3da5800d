// What multiplying in f16 asks of a model's weights.
#pragma once

#include "model/weights.h"

namespace kexa {

// Throws KEXA_UNSUPPORTED naming the first matrix that Matmul multiplies and that holds a value larger than f16's
// largest, or no number at all. Reads them once.
void demand_f16_range(const ModelDescription& description, const Weights& weights);

}  // namespace kexa

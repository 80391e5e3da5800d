// Keys and values as blocks of 32, made as a row is written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/type.h"

namespace kexa {

// Writes `elements` values, which are whole blocks, as q8_0 or q4_1. The block's own extremes set its scale, without
// the search of quantize(): a row of the cache is written while the model runs, and on a GPU by the same rule. A value
// that is not finite leaves a block of NaN, as it would in f32: what is made of it must not look like a number.
void write_cache_blocks(Type type, const float* from, int elements, std::byte* out);

}  // namespace kexa

// Keys and values as blocks of 32, made when a row of the cache is written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/type.h"

namespace kexa {

// Writes `elements` values as q8_0 or q4_1; they must be whole blocks. The extremes of a block set its scale. There is
// no search as in quantize(), because a row of the cache is written while the model runs, and a GPU follows the same
// rule. A value that is not finite makes a block of NaN, so that results show it as they would with f32.
void write_cache_blocks(Type type, const float* from, int elements, std::byte* out);

}  // namespace kexa

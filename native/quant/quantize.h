// From floats to blocks of a quantised type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/type.h"

namespace kexa {

// Returns whether quantize() makes blocks of a type.
bool can_quantize(Type type);

// Writes `elements` values as `type`; they must be whole blocks. Each block is searched for the scales with the least
// sum of squared errors, which give the least error of products with inputs of one size. The same values give the same
// bytes on every machine.
//
// f32, f16 and bf16 are plain conversions. Throws KEXA_UNSUPPORTED
// - for a value that is not finite or too large for the type, with its place, counted from `first`;
// - for a type in blocks that can_quantize() denies.
void quantize(Type type, const float* from, int64_t elements, std::byte* out, int64_t first = 0);

}  // namespace kexa

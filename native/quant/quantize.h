// Values made smaller: blocks of GGUF's types out of floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/type.h"

namespace kexa {

// Whether quantize() makes blocks of a type.
bool can_quantize(Type type);

// Writes `elements` values, which are whole blocks, as `type`. Each block is searched for the scales that give the
// least sum of squared errors: that is the least error of a product with inputs that are alike. The same values give
// the same bytes on every machine.
//
// Throws KEXA_UNSUPPORTED, naming the first element at fault (they are counted from `first`), for a value that is not
// finite or too large for the type, and for a type that can_quantize() denies. f32, f16 and bf16 are plain conversions.
void quantize(Type type, const float* from, int64_t elements, std::byte* out, int64_t first = 0);

}  // namespace kexa

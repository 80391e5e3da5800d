// From blocks of a quantised type to floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/type.h"

namespace kexa {

// Writes the `elements` elements of whole blocks in f32, as the format defines them. Throws KEXA_INTERNAL if the type
// has no blocks. Every product on the way has at most 24 significant bits and is exact. So a compiler that fuses a
// product with the sum behind it changes no bit.
void dequantize(Type type, const std::byte* blocks, int64_t elements, float* out);

}  // namespace kexa

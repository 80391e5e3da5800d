// The values that GGUF's blocks stand for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/type.h"

namespace kexa {

// out[i] = element i of whole blocks of a quantised type, in f32, as the format defines it. Throws
// KEXA_INTERNAL if the type has no blocks. Every product on the way has
// at most 24 significant bits and is exact, so that compilers may fuse it with the sum behind it: the bits stay.
void dequantize(Type type, const std::byte* blocks, int64_t elements, float* out);

}  // namespace kexa

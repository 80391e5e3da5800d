// int4_128: 128 weights in 72 bytes, with codes of 4 bits. quant/int_blocks.h says what the bytes mean.
#pragma once

#include "quant/int_blocks.h"

namespace kexa::types {

struct Int4_128 : IntBlock<Type::kInt4_128, 4> {};

}  // namespace kexa::types

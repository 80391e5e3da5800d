// int4_32: 32 weights in 24 bytes, with codes of 4 bits. quant/int_blocks.h says what the bytes mean.
#pragma once

#include "quant/int_blocks.h"

namespace kexa::types {

struct Int4_32 : IntBlock<Type::kInt4_32, 4> {};

}  // namespace kexa::types

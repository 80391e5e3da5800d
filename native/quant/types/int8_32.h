// int8_32: 32 weights in 40 bytes, with codes of 8 bits. quant/int_blocks.h says what the bytes mean.
#pragma once

#include "quant/int_blocks.h"

namespace kexa::types {

struct Int8_32 : IntBlock<Type::kInt8_32, 8> {};

}  // namespace kexa::types

// int8_128: 128 weights in 136 bytes, with codes of 8 bits. quant/int_blocks.h says what the bytes mean.
#pragma once

#include "quant/int_blocks.h"

namespace kexa::types {

struct Int8_128 : IntBlock<Type::kInt8_128, 8> {};

}  // namespace kexa::types

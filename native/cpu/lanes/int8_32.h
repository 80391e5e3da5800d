// int8_32 on the CPU device. quant/int_blocks.h says what the bytes of a block mean.
#pragma once

#include "cpu/int_lanes.h"

namespace kexa::KEXA_SET {

struct Int8_32Lanes : IntLanes<Type::kInt8_32, 8> {};

}  // namespace kexa::KEXA_SET

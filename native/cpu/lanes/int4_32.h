// int4_32 on the CPU device. quant/int_blocks.h says what the bytes of a block mean.
#pragma once

#include "cpu/int_lanes.h"

namespace kexa::KEXA_SET {

struct Int4_32Lanes : IntLanes<Type::kInt4_32, 4> {};

}  // namespace kexa::KEXA_SET

// q5_k on the CPU device. quant/types/q5_k.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"
#include "cpu/lanes/q4_k.h"

namespace kexa::KEXA_SET {

struct Q5KLanes : Q4KLanes {
  static constexpr int kBytes = BlockLanes<Type::kQ5K>::kBytes;
  static KEXA_INLINE U8x16 codes(const uint8_t* block, int step) {
    U8x16 low, high;
    load_nibbles(low, block + 48 + step / 4 * 32 + step % 2 * 16, step / 2 % 2);
    load_bytes(high, block + 16 + step % 2 * 16);
    return low | (high >> (step / 2) & 1) << 4;
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    to_floats(lanes, codes(block, step));
    lanes = lanes * scale_min[step / 2] - scale_min[8 + step / 2];
  }

  struct Integers : Q4KLanes::Integers {
    static constexpr int kBytes = Q5KLanes::kBytes;
    static KEXA_INLINE void load_codes(I16x16& lanes, const uint8_t* block, int step) {
      widen(lanes, codes(block, step));
    }
  };
};

}  // namespace kexa::KEXA_SET

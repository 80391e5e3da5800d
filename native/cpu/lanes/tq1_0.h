// tq1_0 on the CPU device. quant/types/tq1_0.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"

namespace kexa::KEXA_SET {

struct Tq1_0Lanes : BlockLanes<Type::kTq1_0> {
  float d;
  KEXA_INLINE void prepare(const uint8_t* block) { d = half_at(block + 52); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 bytes;
    if (step == 15) {
      const uint32_t four = four_bytes(block + 48);
      bytes = bytes_of_words(four, four, four, four);
    } else {
      load_bytes(bytes, block + (step < 10 ? step % 2 * 16 : 32));
    }
    // Powers of 3 by which the codes before the wanted ones are removed.
    constexpr U8x16 kOfEnd = {1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27};
    constexpr uint8_t kPowers[] = {1, 3, 9, 27, 81};
    const U8x16 by = step == 15 ? kOfEnd : U8x16{} + kPowers[step < 10 ? step / 2 : step - 10];
    const U16x16 rest = (__builtin_convertvector(bytes, U16x16) * __builtin_convertvector(by, U16x16)) & 255;
    to_signed_floats(lanes, __builtin_convertvector(rest * 3 >> 8, U8x16) - 1);
    lanes *= d;
  }
};

}  // namespace kexa::KEXA_SET

// fp4_64 on the CPU device. quant/types/fp4_64.h says what the bytes of a block mean.
#pragma once

#include "cpu/lanes.h"
#include "quant/codebooks.h"

namespace kexa::KEXA_SET {

struct Fp4_64Lanes : BlockLanes<Type::kFp4_64> {
  float scale[4];
  KEXA_INLINE void prepare(const uint8_t* block) {
    typedef uint8_t U8x4 __attribute__((vector_size(4)));
    typedef uint32_t U32x4 __attribute__((vector_size(16)));
    U8x4 codes;
    std::memcpy(&codes, block + 4, sizeof codes);
    // half_of_ue4m3() of four codes at once, none of which is NaN.
    const F32x4 halves = (F32x4)(__builtin_convertvector(codes, U32x4) << 20) * 0x1p119f;
    const F32x4 scales = halves * float_at(block);
    std::memcpy(scale, &scales, sizeof scale);
  }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    load_nibbles(codes, block + 8 + step / 2 * 16, step % 2);
    look_up(codes, kMxfp4Values);
    to_signed_floats(lanes, codes);
    lanes *= scale[step];
  }
};

}  // namespace kexa::KEXA_SET

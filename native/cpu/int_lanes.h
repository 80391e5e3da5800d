// int4_128, int4_32, int8_128 and int8_32 on the CPU device. quant/int_blocks.h says what the bytes of a block mean.
#pragma once

#include "cpu/integer_lanes.h"
#include "quant/int_blocks.h"

namespace kexa::KEXA_SET {

// Reads 16 codes of 4 bits less their zero point, as signed bytes.
KEXA_INLINE void load_centred(U8x16& codes, const uint8_t* from, int step, uint8_t zero) {
  load_nibbles(codes, from + step / 2 * 16, step % 2);
  codes = codes - zero;
}

template <Type kOwn, int kBits>
struct IntLanes : BlockLanes<kOwn> {
  static constexpr int kCodesAt = types::IntBlock<kOwn, kBits>::kCodesAt;
  float scale;
  int zero;
  KEXA_INLINE void prepare(const uint8_t* block) { scale = float_at(block), zero = types::u16(block + 4); }
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int step) const {
    U8x16 codes;
    if constexpr (kBits == 4) {
      load_centred(codes, block + kCodesAt, step, uint8_t(zero));
      to_signed_floats(lanes, codes);
    } else {
      load_bytes(codes, block + kCodesAt + step * kLanes);
      to_floats(lanes, codes);
      lanes = lanes - float(zero);
    }
    lanes *= scale;
  }

  struct Integers : IntegerLanes<kOwn, BlockLanes<kOwn>::kElements> {
    static constexpr bool kHasF32Scale = types::IntBlock<kOwn, kBits>::kRounded.is_f32;
    int zero;
    KEXA_INLINE void prepare(const uint8_t* block) { zero = types::u16(block + 4); }
    KEXA_INLINE void load(I16x16& lanes, const uint8_t* block, int step) const {
      U8x16 codes;
      if constexpr (kBits == 4) {
        load_centred(codes, block + kCodesAt, step, uint8_t(zero));
        widen_signed(lanes, codes);
      } else {
        load_bytes(codes, block + kCodesAt + step * kLanes);
        widen(lanes, codes);
#pragma GCC unroll 2
        for (I16Part& part : lanes.part) part -= I16Part{} + int16_t(zero);
      }
    }
  };
};

}  // namespace kexa::KEXA_SET

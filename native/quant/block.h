// The properties of every type of blocks, and the ways to store codes that several types share. Each type is a struct
// in quant/types:
// - read(block, out) writes the block's elements as floats;
// - write(from, block), in types that kexa can quantise to, is the other direction;
// - kGpu, codes() and middle() say how blocks become a row on the GPU (kernels/source/quantized_layout.h);
// - kSynthetic says how a made-up block is scaled (model/synthetic.h);
// - kRounded, in types that are multiplied in whole numbers (quant/rounded.h), says where the block's scales stand.
// Numbers in blocks are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/numbers.h"
#include "base/type.h"

namespace kexa {

// How a row of blocks is packed for the GPU.
struct GpuRow {
  // The bits of a code in each plane of bits, the code's lowest bits first. {8} keeps whole bytes. {} is a type whose
  // codes are indices into a grid.
  int planes[2] = {0, 0};
  int index_bytes = 0;  // per eight elements, in types with a grid
  int offset = 0;       // a weight is scale * (code - offset) - minimum
  bool has_min = false;
  bool has_zero = false;  // the offset is a number of the block's own: its zero point
  // The bytes of a block that go to the row's end: usually its f16 scale. 0 bytes: the scale leads what middle()
  // writes.
  int tail_at = 0;
  int tail_bytes = 0;
  // Files of WGSL functions that the type's own file calls.
  std::string_view functions[2] = {};
  std::string_view text = {};  // the type's own file, if it is not called by the type's name
};

// Where a block's own scale stands, and the bits that are put there: the block's values are then a few hundredths, as
// trained weights are, with a mean near zero. All other bytes of a block may be any bits.
struct SyntheticScale {
  int at = 0;     // bytes from the start of the block in the file
  int bytes = 0;  // 1, 2, 4 or 8
  uint64_t bits = 0;
};

// The places of a block's scales (f16), in bytes, and how many elements share one inner scale: the sum of that many
// products is a sum of whole numbers times one scale.
struct RoundedScales {
  int scale = 0;
  int minima = -1;  // the scale of the minima; -1: the type has none
  int unit = 32;
  bool is_f32 = false;  // the scale is f32
};

template <Type kOwn>
struct Block {
  static constexpr Type kType = kOwn;
  static constexpr int kElements = facts_of(kOwn).block_elements, kBytes = facts_of(kOwn).block_bytes;
  // Writes what a GPU's row keeps of a block between its codes and its tail. Most types have nothing there.
  static void middle(const uint8_t*, std::byte*) {}
};

// Types that kexa makes from floats.
template <typename Type>
concept Writable = requires(const float* from, std::byte* to) { Type::write(from, to); };
// Types that are multiplied by rounded activations.
template <typename Type>
concept Roundable = requires { Type::kRounded; };

namespace types {

KEXA_INLINE uint16_t u16(const uint8_t* at) { return uint16_t(at[0] | at[1] << 8); }
KEXA_INLINE uint32_t u32(const uint8_t* at) { return u16(at) | uint32_t{u16(at + 2)} << 16; }
KEXA_INLINE float f16(const uint8_t* at) { return f16_to_f32(u16(at)); }
KEXA_INLINE float f32(const uint8_t* at) { return std::bit_cast<float>(u32(at)); }

// The scale and minimum of a group, 6 bits each, in the 12 bytes of q4_k and q5_k. `group` is 0 to 7. The last four
// groups have their lower 4 bits in the last 4 bytes, and their upper 2 bits above the first four groups' bits.
struct ScaleAndMin {
  int scale, min;
};
KEXA_INLINE ScaleAndMin scale_and_min(const uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | packed[group - 4] >> 6 << 4, packed[group + 4] >> 4 | packed[group] >> 6 << 4};
}

// Writes `count` elements: magnitudes that a grid's entry names by `bits` bits each, with the lowest bits of `signs`.
template <typename Values>
KEXA_INLINE void signed_grid(float scale, uint32_t entry, const Values& values, int count, int bits, int signs,
                             float* out) {
  for (int i = 0; i < count; ++i) {
    const float value = scale * float(values[entry >> (i * bits) & ((1u << bits) - 1)]);
    out[i] = signs >> i & 1 ? -value : value;
  }
}

// The functions below take codes out of a block, a byte for each element. Only loading a model calls them.

// 32 codes of 4 bits: byte i of 16 has element i in its low half, element i + 16 in its high half.
inline void take_codes(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) codes[i] = from[i] & 15, codes[i + 16] = from[i] >> 4;
}

// Adds the fifth bits of 32 codes, element i in bit i.
inline void take_fifth_bits(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 32; ++i) codes[i] |= (from[i / 8] >> (i % 8) & 1) << 4;
}

// 256 codes of 2 bits: 32 bytes have four groups of 32.
inline void take_pairs(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 256; ++i) codes[i] = from[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

// 256 codes of 4 bits: 32 bytes have two groups of 32.
inline void take_halves(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 256; ++i) codes[i] = from[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}

// Packs eight words of signs and scales. Each word of the file has the signs of four chunks, 7 bits each, below a scale
// of 4 bits for 32 weights. On the GPU each of four lanes has two words, one for its first four chunks and one for its
// last four; the i-th word of each four also has the i-th scale.
inline void put_signs(const uint8_t* from, int stride, std::byte* to) {
  uint32_t words[8] = {};
  for (int i = 0; i < 8; ++i) {
    const uint32_t packed = u32(from + i * stride);
    words[i] |= packed >> 28 << 28;
    for (int lane = 0; lane < 4; ++lane) words[i / 4 * 4 + lane] |= (packed >> (lane * 7) & 127) << (i % 4 * 7);
  }
  std::memcpy(to, words, sizeof words);
}

}  // namespace types
}  // namespace kexa

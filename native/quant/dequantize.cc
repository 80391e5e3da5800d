#include "quant/dequantize.h"

#include <string>

#include "base/error.h"
#include "base/numbers.h"
#include "quant/codebooks.h"

// One function a type, written to be read: a block's bytes in, its 32 or 256 elements out. Numbers are little-endian.
namespace kexa {
namespace {

KEXA_INLINE uint16_t u16(const uint8_t* at) { return uint16_t(at[0] | at[1] << 8); }
KEXA_INLINE uint32_t u32(const uint8_t* at) { return u16(at) | uint32_t{u16(at + 2)} << 16; }
KEXA_INLINE float f16(const uint8_t* at) { return f16_to_f32(u16(at)); }

// Blocks of 32. Byte i of the codes holds elements i (low half) and i + 16 (high half).

// d, then codes of 8 bits: d * q
KEXA_INLINE void q8_0(const uint8_t* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < 32; ++i) out[i] = d * float(int8_t(block[2 + i]));
}

// d, codes: d * (q - 8)
KEXA_INLINE void q4_0(const uint8_t* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < 16; ++i) {
    const int code = block[2 + i];
    out[i] = d * float((code & 15) - 8);
    out[i + 16] = d * float((code >> 4) - 8);
  }
}

// d, m, codes: d * q + m
KEXA_INLINE void q4_1(const uint8_t* block, float* out) {
  const float d = f16(block), m = f16(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int code = block[4 + i];
    out[i] = d * float(code & 15) + m;
    out[i + 16] = d * float(code >> 4) + m;
  }
}

// d, the fifth bits of the codes, codes: d * (q - 16)
KEXA_INLINE void q5_0(const uint8_t* block, float* out) {
  const float d = f16(block);
  const uint32_t high = u32(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int code = block[6 + i];
    out[i] = d * float(int((code & 15) | (high >> i & 1) << 4) - 16);
    out[i + 16] = d * float(int(code >> 4 | (high >> (i + 16) & 1) << 4) - 16);
  }
}

// d, m, the fifth bits of the codes, codes: d * q + m
KEXA_INLINE void q5_1(const uint8_t* block, float* out) {
  const float d = f16(block), m = f16(block + 2);
  const uint32_t high = u32(block + 4);
  for (int i = 0; i < 16; ++i) {
    const int code = block[8 + i];
    out[i] = d * float((code & 15) | (high >> i & 1) << 4) + m;
    out[i + 16] = d * float(code >> 4 | (high >> (i + 16) & 1) << 4) + m;
  }
}

// d, codes into kIq4Values: d * value
KEXA_INLINE void iq4_nl(const uint8_t* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < 16; ++i) {
    const int code = block[2 + i];
    out[i] = d * float(kIq4Values[code & 15]);
    out[i + 16] = d * float(kIq4Values[code >> 4]);
  }
}

// e8m0 scale, codes into kMxfp4Values, which are doubled: half the scale * value
KEXA_INLINE void mxfp4(const uint8_t* block, float* out) {
  const float d = half_of_e8m0(block[0]);
  for (int i = 0; i < 16; ++i) {
    const int code = block[1 + i];
    out[i] = d * float(kMxfp4Values[code & 15]);
    out[i + 16] = d * float(kMxfp4Values[code >> 4]);
  }
}

// Blocks of 256, in groups of 16 or 32 with scales of their own.

// The scale and minimum of group 0 to 7, of 6 bits each, in the 12 bytes of q4_k and q5_k. Those of the last four
// groups have their lower 4 bits in the last 4 bytes and their upper 2 above the first four groups'.
struct ScaleAndMin {
  int scale, min;
};
KEXA_INLINE ScaleAndMin scale_and_min(const uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | packed[group - 4] >> 6 << 4, packed[group + 4] >> 4 | packed[group] >> 6 << 4};
}

// 16 pairs of a scale (low) and a minimum (high) of 4 bits, codes of 2 bits, d, dmin: d * scale * q - dmin * min
KEXA_INLINE void q2_k(const uint8_t* block, float* out) {
  const uint8_t* codes = block + 16;
  const float d = f16(block + 80), dmin = f16(block + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * float(block[group] & 15), min = dmin * float(block[group] >> 4);
    const uint8_t* from = codes + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) out[group * 16 + i] = scale * float(from[i] >> shift & 3) - min;
  }
}

// The codes' third bits, codes of 2 bits, 16 scales of 6 bits, d: d * (scale - 32) * (q - 4)
KEXA_INLINE void q3_k(const uint8_t* block, float* out) {
  const uint8_t *high = block, *codes = block + 32, *scales = block + 96;
  const float d = f16(block + 108);
  for (int group = 0; group < 16; ++group) {
    const int low_bits = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    const int high_bits = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    const float scale = d * float((low_bits | high_bits << 4) - 32);
    const int at = group % 2 * 16, shift = group % 8 / 2 * 2;
    for (int i = at; i < at + 16; ++i) {
      const int code = (codes[group / 8 * 32 + i] >> shift & 3) | (high[i] >> (group / 2) & 1) << 2;
      out[group * 16 + i - at] = scale * float(code - 4);
    }
  }
}

// d, dmin, packed scales and minima, codes of 4 bits: d * scale * q - dmin * min
KEXA_INLINE void q4_k(const uint8_t* block, float* out) {
  const float d = f16(block), dmin = f16(block + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMin packed = scale_and_min(block + 4, group);
    const float scale = d * float(packed.scale), min = dmin * float(packed.min);
    const uint8_t* codes = block + 16 + group / 2 * 32;
    for (int i = 0; i < 32; ++i) out[group * 32 + i] = scale * float(codes[i] >> (group % 2 * 4) & 15) - min;
  }
}

// d, dmin, packed scales and minima, the codes' fifth bits, codes of 4 bits: as q4_k
KEXA_INLINE void q5_k(const uint8_t* block, float* out) {
  const float d = f16(block), dmin = f16(block + 2);
  const uint8_t* high = block + 16;
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMin packed = scale_and_min(block + 4, group);
    const float scale = d * float(packed.scale), min = dmin * float(packed.min);
    const uint8_t* codes = block + 48 + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int code = (codes[i] >> (group % 2 * 4) & 15) | (high[i] >> group & 1) << 4;
      out[group * 32 + i] = scale * float(code) - min;
    }
  }
}

// The codes' lower 4 bits, their upper 2, 16 signed scales of 8 bits, d: d * scale * (q - 32)
KEXA_INLINE void q6_k(const uint8_t* block, float* out) {
  const float d = f16(block + 208);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * float(int8_t(block[192 + group]));
    // Half a block has 64 bytes of lower bits and 32 of upper ones.
    const int half = group / 8, in_half = group % 8;
    const uint8_t* low = block + half * 64 + in_half % 4 * 16;
    const uint8_t* high = block + 128 + half * 32 + in_half % 2 * 16;
    for (int i = 0; i < 16; ++i) {
      const int code = (low[i] >> (in_half / 4 * 4) & 15) | (high[i] >> (in_half / 2 * 2) & 3) << 4;
      out[group * 16 + i] = scale * float(code - 32);
    }
  }
}

// d, the scales' upper 2 bits, their lower 4, codes into kIq4Values: d * (scale - 32) * value
KEXA_INLINE void iq4_xs(const uint8_t* block, float* out) {
  const float d = f16(block);
  const int high_bits = u16(block + 2);
  for (int group = 0; group < 8; ++group) {
    const int low = block[4 + group / 2] >> (group % 2 * 4) & 15;
    const float scale = d * float((low | (high_bits >> (group * 2) & 3) << 4) - 32);
    const uint8_t* codes = block + 8 + group * 16;
    for (int i = 0; i < 16; ++i) {
      out[group * 32 + i] = scale * float(kIq4Values[codes[i] & 15]);
      out[group * 32 + i + 16] = scale * float(kIq4Values[codes[i] >> 4]);
    }
  }
}

// `count` magnitudes of a grid's entry, each of `bits` bits, with the lowest bits of `signs`.
template <typename Values>
KEXA_INLINE void signed_grid(float scale, uint32_t entry, const Values& values, int count, int bits, int signs,
                             float* out) {
  for (int i = 0; i < count; ++i) {
    const float value = scale * float(values[entry >> (i * bits) & ((1u << bits) - 1)]);
    out[i] = signs >> i & 1 ? -value : value;
  }
}

// d; for each 32: 4 indices of 8 bits into the grid, then 4 of 7 bits for the signs below a scale of 4 bits:
// d * (0.5 + scale) / 4 * magnitude
KEXA_INLINE void iq2_xxs(const uint8_t* block, float* out) {
  const float d = f16(block);
  for (int group = 0; group < 8; ++group) {
    const uint8_t* indices = block + 2 + group * 8;
    const uint32_t signs = u32(indices + 4);
    const float scale = d * (0.5f + float(signs >> 28)) * 0.25f;
    for (int i = 0; i < 4; ++i)
      signed_grid(scale, kIq2XxsGrid[indices[i]], kIq2Values, 8, 2, iq_signs(signs >> (i * 7) & 127),
                  out + group * 32 + i * 8);
  }
}

// d; for each 8: 9 bits of the grid's index below 7 for the signs; then scales of 4 bits, one for 16:
// d * (0.5 + scale) / 4 * magnitude
KEXA_INLINE void iq2_xs(const uint8_t* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < 32; ++i) {
    const uint32_t index = u16(block + 2 + i * 2);
    const float scale = d * (0.5f + float(block[66 + i / 4] >> (i / 2 % 2 * 4) & 15)) * 0.25f;
    signed_grid(scale, kIq2XsGrid[index & 511], kIq2Values, 8, 2, iq_signs(index >> 9), out + i * 8);
  }
}

// d; indices of 8 bits into the grid, one for 4; then for each 32, 4 of 7 bits for the signs below a scale of 4 bits:
// d * (0.5 + scale) / 2 * magnitude
KEXA_INLINE void iq3_xxs(const uint8_t* block, float* out) {
  const float d = f16(block);
  for (int group = 0; group < 8; ++group) {
    const uint8_t* indices = block + 2 + group * 8;
    const uint32_t packed = u32(block + 66 + group * 4);
    const float scale = d * (0.5f + float(packed >> 28)) * 0.5f;
    for (int i = 0; i < 8; ++i) {
      const int signs = iq_signs(packed >> (i / 2 * 7) & 127) >> (i % 2 * 4);
      signed_grid(scale, kIq3XxsGrid[indices[i]], kIq3Values, 4, 4, signs, out + group * 32 + i * 4);
    }
  }
}

template <void (*one_block)(const uint8_t*, float*)>
KEXA_INLINE void every_block(Type type, const std::byte* blocks, int64_t elements, float* out) {
  const TypeFacts& facts = facts_of(type);
  const auto* block = reinterpret_cast<const uint8_t*>(blocks);
  for (int64_t i = 0; i < elements; i += facts.block_elements, block += facts.block_bytes) one_block(block, out + i);
}

}  // namespace

KEXA_HOT void dequantize(Type type, const std::byte* blocks, int64_t elements, float* out) {
  switch (type) {
    case Type::kQ8_0:
      return every_block<q8_0>(type, blocks, elements, out);
    case Type::kQ4_0:
      return every_block<q4_0>(type, blocks, elements, out);
    case Type::kQ4_1:
      return every_block<q4_1>(type, blocks, elements, out);
    case Type::kQ5_0:
      return every_block<q5_0>(type, blocks, elements, out);
    case Type::kQ5_1:
      return every_block<q5_1>(type, blocks, elements, out);
    case Type::kQ2K:
      return every_block<q2_k>(type, blocks, elements, out);
    case Type::kQ3K:
      return every_block<q3_k>(type, blocks, elements, out);
    case Type::kQ4K:
      return every_block<q4_k>(type, blocks, elements, out);
    case Type::kQ5K:
      return every_block<q5_k>(type, blocks, elements, out);
    case Type::kQ6K:
      return every_block<q6_k>(type, blocks, elements, out);
    case Type::kIq2Xxs:
      return every_block<iq2_xxs>(type, blocks, elements, out);
    case Type::kIq2Xs:
      return every_block<iq2_xs>(type, blocks, elements, out);
    case Type::kIq3Xxs:
      return every_block<iq3_xxs>(type, blocks, elements, out);
    case Type::kIq4Nl:
      return every_block<iq4_nl>(type, blocks, elements, out);
    case Type::kIq4Xs:
      return every_block<iq4_xs>(type, blocks, elements, out);
    case Type::kMxfp4:
      return every_block<mxfp4>(type, blocks, elements, out);
    case Type::kF32:
    case Type::kF16:
    case Type::kBf16:
    case Type::kF8E4m3:
      throw Error("KEXA_INTERNAL", "no blocks hold " + std::string(type_name(type)));
  }
}

}  // namespace kexa

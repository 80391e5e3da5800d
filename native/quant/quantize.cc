#include "quant/quantize.h"

#include <array>
#include <limits>
#include <string>

#include "base/error.h"
#include "quant/fit.h"
#include "quant/quantize_grids.h"

namespace kexa {
namespace {

using fit::NormalLevels;
using fit::WholeLevels;
using fit::Wide;

constexpr int kLargeBlock = 256;
constexpr int kSmallBlock = 32;
constexpr float kMostF16 = 65504;

void put_f16(std::byte* to, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(to, &bits, sizeof bits);
}

// Whole numbers of a block, with `offset` added.
template <int V>
KEXA_INLINE void whole_numbers(const Wide* q, int offset, uint8_t* to) {
  for (int i = 0; i < V; ++i) {
    float wide[kLanes];
    fit::store(wide, q[i]);
    for (int lane = 0; lane < kLanes; ++lane) to[i * kLanes + lane] = uint8_t(int(wide[lane]) + offset);
  }
}

template <int V>
KEXA_INLINE void load_block(Wide* x, const float* from) {
  for (int i = 0; i < V; ++i) fit::load(x[i], from + i * kLanes);
}

// Where each of NormalLevels' values stands in its table, by value + 128.
constexpr auto kNormalIndex = [] {
  std::array<uint8_t, 256> index{};
  for (int i = 0; i < NormalLevels::kCount; ++i) index[NormalLevels::kValues[i] + 128] = uint8_t(i);
  return index;
}();

// Element i in the low half of byte i, element i + 16 in the high half.
KEXA_INLINE void put_halves(const uint8_t* q, std::byte* to) {
  for (int i = 0; i < 16; ++i) to[i] = std::byte((q[i] & 15) | ((q[i + 16] & 15) << 4));
}

KEXA_INLINE void block_q8_0(const float* from, std::byte* to) {
  Wide x[2], q[2];
  load_block<2>(x, from);
  put_f16(to, fit::signed_scale<2, WholeLevels<127, 127>, true>(x, q));
  uint8_t whole[kSmallBlock];
  whole_numbers<2>(q, 0, whole);
  std::memcpy(to + 2, whole, sizeof whole);
}

KEXA_INLINE void block_q4_0(const float* from, std::byte* to) {
  Wide x[2], q[2];
  load_block<2>(x, from);
  put_f16(to, fit::signed_scale<2, WholeLevels<8, 7>, true>(x, q));
  uint8_t whole[kSmallBlock];
  whole_numbers<2>(q, 8, whole);
  put_halves(whole, to + 2);
}

KEXA_INLINE void block_q4_1(const float* from, std::byte* to) {
  Wide x[2], q[2];
  load_block<2>(x, from);
  const fit::Shifted found = fit::shifted<2, 15>(x, q);
  put_f16(to, found.scale);
  put_f16(to + 2, found.shift);
  uint8_t whole[kSmallBlock];
  whole_numbers<2>(q, 0, whole);
  put_halves(whole, to + 4);
}

// Fifth bits, then the rest.
KEXA_INLINE void put_fives(const uint8_t* whole, std::byte* to) {
  uint32_t fifth = 0;
  for (int i = 0; i < kSmallBlock; ++i) fifth |= uint32_t{whole[i]} >> 4 << i;
  std::memcpy(to, &fifth, sizeof fifth);
  put_halves(whole, to + 4);
}

KEXA_INLINE void block_q5_0(const float* from, std::byte* to) {
  Wide x[2], q[2];
  load_block<2>(x, from);
  put_f16(to, fit::signed_scale<2, WholeLevels<16, 15>, true>(x, q));
  uint8_t whole[kSmallBlock];
  whole_numbers<2>(q, 16, whole);
  put_fives(whole, to + 2);
}

KEXA_INLINE void block_q5_1(const float* from, std::byte* to) {
  Wide x[2], q[2];
  load_block<2>(x, from);
  const fit::Shifted found = fit::shifted<2, 31>(x, q);
  put_f16(to, found.scale);
  put_f16(to + 2, found.shift);
  uint8_t whole[kSmallBlock];
  whole_numbers<2>(q, 0, whole);
  put_fives(whole, to + 4);
}

KEXA_INLINE void normal_indices(const Wide* q, int vectors, uint8_t* to) {
  for (int i = 0; i < vectors; ++i)
    for (int lane = 0; lane < kLanes; ++lane) to[i * kLanes + lane] = kNormalIndex[int(q[i][lane]) + 128];
}

KEXA_INLINE void block_iq4_nl(const float* from, std::byte* to) {
  Wide x[2], q[2];
  load_block<2>(x, from);
  put_f16(to, fit::signed_scale<2, NormalLevels, true>(x, q));
  // A zero block has a zero scale, and any level.
  uint8_t index[kSmallBlock];
  normal_indices(q, 2, index);
  put_halves(index, to + 2);
}

// Powers of two as scales; the levels are twice those of 4-bit floats (E2M1).
KEXA_INLINE void block_mxfp4(const float* from, std::byte* to) {
  constexpr float kMagnitudes[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  constexpr int kBias = 128;  // of the exponent, with the levels doubled
  Wide x[2];
  load_block<2>(x, from);
  const float peak = std::fabs(fit::largest<2>(x));
  std::fill_n(to, 17, std::byte{0});
  if (peak == 0) return;
  int peak_exponent;
  std::frexp(peak, &peak_exponent);
  // 8 and 12 stand for the peak: their exponent is 4 as frexp has it.
  const int middle = peak_exponent - 4;
  float values[kSmallBlock];
  for (int i = 0; i < kSmallBlock; ++i) values[i] = std::ldexp(from[i], -middle);
  float best_error = INFINITY;
  for (int step : {0, 1, -1}) {
    const int exponent = std::clamp(middle + step, -kBias, 255 - 1 - kBias);
    const float scale = std::ldexp(1.0f, exponent - middle), inverse = 1 / scale;
    uint8_t code[kSmallBlock];
    float error = 0;
    for (int i = 0; i < kSmallBlock; ++i) {
      const float value = values[i], magnitude = std::fabs(value) * inverse;
      int level = 0;
      while (level < 7 && magnitude > (kMagnitudes[level] + kMagnitudes[level + 1]) * 0.5f) ++level;
      code[i] = uint8_t(level | (value < 0 && level ? 8 : 0));
      const float off = std::fabs(value) - kMagnitudes[level] * scale;
      error += off * off;
    }
    if (!(error < best_error)) continue;
    best_error = error;
    to[0] = std::byte(exponent + kBias);
    put_halves(code, to + 1);
  }
}

KEXA_INLINE void block_q2_k(const float* from, std::byte* to) {
  Wide x[16];
  load_block<16>(x, from);
  fit::AffineBlock<1> block;
  fit::fit_affine_block<1, 3, 15>(x, block);
  uint8_t q[kLargeBlock];
  whole_numbers<16>(block.q, 0, q);
  for (int r = 0; r < 16; ++r) to[r] = std::byte(int(block.run_scale[r]) | (int(block.run_least[r]) << 4));
  // Two halves of 128: each byte has the element of four runs of 32.
  for (int i = 0; i < 64; ++i) {
    const uint8_t* at = q + i / 32 * 128 + i % 32;
    to[16 + i] = std::byte(at[0] | (at[32] << 2) | (at[64] << 4) | (at[96] << 6));
  }
  put_f16(to + 80, block.scale);
  put_f16(to + 82, block.least);
}

KEXA_INLINE void block_q3_k(const float* from, std::byte* to) {
  Wide x[16];
  load_block<16>(x, from);
  fit::SignedBlock<1> block;
  fit::fit_signed_block<1, WholeLevels<4, 3>, 32>(x, block);
  uint8_t q[kLargeBlock];
  whole_numbers<16>(block.q, 4, q);
  std::fill_n(to, 110, std::byte{0});
  // Third bits: bit i / 32 of byte i % 32.
  for (int i = 0; i < kLargeBlock; ++i) to[i % 32] |= std::byte((q[i] >> 2) << (i / 32));
  for (int i = 0; i < 64; ++i) {
    const uint8_t* at = q + i / 32 * 128 + i % 32;
    to[32 + i] = std::byte((at[0] & 3) | ((at[32] & 3) << 2) | ((at[64] & 3) << 4) | ((at[96] & 3) << 6));
  }
  // Sixteen scales of 6 bits: the low four in eight bytes, the high two in four.
  for (int r = 0; r < 16; ++r) {
    const int scale = int(block.run_scale[r]) + 32;
    to[96 + r % 8] |= std::byte((scale & 15) << (r / 8 * 4));
    to[104 + r % 4] |= std::byte((scale >> 4) << (r / 4 * 2));
  }
  put_f16(to + 108, block.scale);
}

// Eight scales and eight leasts of 6 bits in twelve bytes, as q4_k and q5_k have them.
KEXA_INLINE void put_sixes(const fit::AffineBlock<2>& block, std::byte* to) {
  for (int r = 0; r < 4; ++r) {
    const int scale = int(block.run_scale[r]), scale_after = int(block.run_scale[r + 4]);
    const int least = int(block.run_least[r]), least_after = int(block.run_least[r + 4]);
    to[r] = std::byte(scale | (scale_after >> 4 << 6));
    to[r + 4] = std::byte(least | (least_after >> 4 << 6));
    to[r + 8] = std::byte((scale_after & 15) | ((least_after & 15) << 4));
  }
}

// Of each 64 elements, the first 32 in the low halves of 32 bytes.
KEXA_INLINE void put_runs_of_halves(const uint8_t* q, std::byte* to) {
  for (int i = 0; i < 128; ++i) {
    const uint8_t* at = q + i / 32 * 64 + i % 32;
    to[i] = std::byte((at[0] & 15) | ((at[32] & 15) << 4));
  }
}

KEXA_INLINE void block_q4_k(const float* from, std::byte* to) {
  Wide x[16];
  load_block<16>(x, from);
  fit::AffineBlock<2> block;
  fit::fit_affine_block<2, 15, 63>(x, block);
  uint8_t q[kLargeBlock];
  whole_numbers<16>(block.q, 0, q);
  put_f16(to, block.scale);
  put_f16(to + 2, block.least);
  put_sixes(block, to + 4);
  put_runs_of_halves(q, to + 16);
}

KEXA_INLINE void block_q5_k(const float* from, std::byte* to) {
  Wide x[16];
  load_block<16>(x, from);
  fit::AffineBlock<2> block;
  fit::fit_affine_block<2, 31, 63>(x, block);
  uint8_t q[kLargeBlock];
  whole_numbers<16>(block.q, 0, q);
  put_f16(to, block.scale);
  put_f16(to + 2, block.least);
  put_sixes(block, to + 4);
  std::fill_n(to + 16, 32, std::byte{0});
  for (int i = 0; i < kLargeBlock; ++i) to[16 + i % 32] |= std::byte((q[i] >> 4) << (i / 32));
  put_runs_of_halves(q, to + 48);
}

KEXA_INLINE void block_q6_k(const float* from, std::byte* to) {
  Wide x[16];
  load_block<16>(x, from);
  fit::SignedBlock<1> block;
  fit::fit_signed_block<1, WholeLevels<32, 31>, 128>(x, block);
  uint8_t q[kLargeBlock];
  whole_numbers<16>(block.q, 32, q);
  // Of each half of 128: low fours of runs 0 and 2, then 1 and 3, in 64 bytes; high twos of all four in 32.
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 32; ++i) {
      const uint8_t* at = q + half * 128 + i;
      to[half * 64 + i] = std::byte((at[0] & 15) | ((at[64] & 15) << 4));
      to[half * 64 + 32 + i] = std::byte((at[32] & 15) | ((at[96] & 15) << 4));
      to[128 + half * 32 + i] =
          std::byte((at[0] >> 4) | ((at[32] >> 4) << 2) | ((at[64] >> 4) << 4) | ((at[96] >> 4) << 6));
    }
  for (int r = 0; r < 16; ++r) to[192 + r] = std::byte(uint8_t(int8_t(block.run_scale[r])));
  put_f16(to + 208, block.scale);
}

KEXA_INLINE void block_iq4_xs(const float* from, std::byte* to) {
  Wide x[16];
  load_block<16>(x, from);
  fit::SignedBlock<2> block;
  fit::fit_signed_block<2, NormalLevels, 32>(x, block);
  uint8_t q[kLargeBlock];
  normal_indices(block.q, 16, q);
  put_f16(to, block.scale);
  // Eight scales of 6 bits: the high two in one word, the low four in four bytes.
  uint16_t high = 0;
  std::fill_n(to + 4, 4, std::byte{0});
  for (int r = 0; r < 8; ++r) {
    const int scale = int(block.run_scale[r]) + 32;
    high |= uint16_t(scale >> 4 << (2 * r));
    to[4 + r / 2] |= std::byte((scale & 15) << (r % 2 * 4));
  }
  std::memcpy(to + 2, &high, sizeof high);
  for (int r = 0; r < 8; ++r) put_halves(q + r * 32, to + 8 + r * 16);
}

using BlockFunction = void (*)(const float*, std::byte*);

template <BlockFunction kBlock>
KEXA_INLINE void each_block(Type type, const float* from, int64_t elements, std::byte* to) {
  const TypeFacts& facts = facts_of(type);
  for (int64_t i = 0; i < elements / facts.block_elements; ++i)
    kBlock(from + i * facts.block_elements, to + i * facts.block_bytes);
}

}  // namespace

KEXA_HOT void quantize_q8_0(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q8_0>(Type::kQ8_0, from, elements, to);
}
KEXA_HOT void quantize_q4_0(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q4_0>(Type::kQ4_0, from, elements, to);
}
KEXA_HOT void quantize_q4_1(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q4_1>(Type::kQ4_1, from, elements, to);
}
KEXA_HOT void quantize_q5_0(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q5_0>(Type::kQ5_0, from, elements, to);
}
KEXA_HOT void quantize_q5_1(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q5_1>(Type::kQ5_1, from, elements, to);
}
KEXA_HOT void quantize_iq4_nl(const float* from, int64_t elements, std::byte* to) {
  each_block<block_iq4_nl>(Type::kIq4Nl, from, elements, to);
}
KEXA_HOT void quantize_mxfp4(const float* from, int64_t elements, std::byte* to) {
  each_block<block_mxfp4>(Type::kMxfp4, from, elements, to);
}
KEXA_HOT void quantize_q2_k(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q2_k>(Type::kQ2K, from, elements, to);
}
KEXA_HOT void quantize_q3_k(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q3_k>(Type::kQ3K, from, elements, to);
}
KEXA_HOT void quantize_q4_k(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q4_k>(Type::kQ4K, from, elements, to);
}
KEXA_HOT void quantize_q5_k(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q5_k>(Type::kQ5K, from, elements, to);
}
KEXA_HOT void quantize_q6_k(const float* from, int64_t elements, std::byte* to) {
  each_block<block_q6_k>(Type::kQ6K, from, elements, to);
}
KEXA_HOT void quantize_iq4_xs(const float* from, int64_t elements, std::byte* to) {
  each_block<block_iq4_xs>(Type::kIq4Xs, from, elements, to);
}

namespace {

void convert(Type type, const float* from, int64_t elements, std::byte* to) {
  if (type == Type::kF32) {
    std::memcpy(to, from, size_t(elements) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < elements; ++i) {
    const uint16_t bits = type == Type::kBf16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
    std::memcpy(to + i * 2, &bits, 2);
  }
}

using Quantizer = void (*)(const float*, int64_t, std::byte*);

Quantizer quantizer_of(Type type) {
  switch (type) {
    case Type::kQ8_0:
      return quantize_q8_0;
    case Type::kQ4_0:
      return quantize_q4_0;
    case Type::kQ4_1:
      return quantize_q4_1;
    case Type::kQ5_0:
      return quantize_q5_0;
    case Type::kQ5_1:
      return quantize_q5_1;
    case Type::kIq2Xxs:
      return quantize_iq2_xxs;
    case Type::kIq2Xs:
      return quantize_iq2_xs;
    case Type::kIq3Xxs:
      return quantize_iq3_xxs;
    case Type::kIq4Nl:
      return quantize_iq4_nl;
    case Type::kMxfp4:
      return quantize_mxfp4;
    case Type::kQ2K:
      return quantize_q2_k;
    case Type::kQ3K:
      return quantize_q3_k;
    case Type::kQ4K:
      return quantize_q4_k;
    case Type::kQ5K:
      return quantize_q5_k;
    case Type::kQ6K:
      return quantize_q6_k;
    case Type::kIq4Xs:
      return quantize_iq4_xs;
    default:
      return nullptr;
  }
}

void refuse_unfit(Type type, const float* from, int64_t elements, int64_t first) {
  const bool is_wide = type == Type::kF32 || type == Type::kBf16 || type == Type::kMxfp4;
  const float most = is_wide ? std::numeric_limits<float>::max() : kMostF16;
  for (int64_t i = 0; i < elements; ++i) {
    if (std::fabs(from[i]) <= most) continue;
    const std::string where = "element " + std::to_string(first + i) + ": ";
    const std::string name(type_name(type));
    if (!std::isfinite(from[i]))
      throw Error("KEXA_UNSUPPORTED", where + "wanted a finite number for " + name + ", found " +
                                          (std::isnan(from[i]) ? "NaN"
                                           : from[i] < 0       ? "-infinity"
                                                               : "infinity"));
    throw Error("KEXA_UNSUPPORTED", where + "wanted at most 65,504 for " + name + ", found " + std::to_string(from[i]));
  }
}

}  // namespace

bool can_quantize(Type type) { return quantizer_of(type) != nullptr; }

void quantize(Type type, const float* from, int64_t elements, std::byte* out, int64_t first) {
  const Quantizer quantizer = quantizer_of(type);
  if (quantizer == nullptr && is_quantized(type))
    throw Error("KEXA_UNSUPPORTED", std::string(type_name(type)) + ": kexa has no quantiser for this type");
  refuse_unfit(type, from, elements, first);
  if (quantizer == nullptr) return convert(type, from, elements, out);
  quantizer(from, elements, out);
}

}  // namespace kexa

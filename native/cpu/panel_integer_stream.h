// Products of few rows rounded to 16 bits with stored weights, for one instruction set: each register of weights is
// made once and is multiplied by every row. Sums are those of multiply_rounded_row() to the bit, because whole numbers
// have no order and units are added in the order of the columns. Sets without AVX2 use the buffer of panel_integers.h
// instead.
#pragma once

#include "cpu/integer_lanes.h"
#include "cpu/panel_stream.h"

namespace kexa::KEXA_SET {

// Returns the scale that a small block begins with.
template <typename Integers>
KEXA_INLINE float small_scale(const uint8_t* block) {
  return Integers::kHasF32Scale ? float_at(block) : half_at(block);
}

#if defined(__AVX2__)

// Weight rows that are summed at a time, and the most rows of activations: 24 sums of 32 registers, or 12 of 16.
constexpr int kIntegerOutputs = 3;
#if defined(__AVX512F__)
constexpr int kIntegerRows = 8;
#else
constexpr int kIntegerRows = 4;
#endif

template <int kRows, typename Visit>
KEXA_INLINE void for_sums(const Visit& visit) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int o = 0; o < kIntegerOutputs; ++o) visit(r, o);
}

// whole[r][o] = the products of the steps from kFirst on, of blocks whose first column is x[r][0].
template <typename Integers, int kRows, int kFirst>
KEXA_INLINE void sum_unit(I32x8 (*whole)[kIntegerOutputs], const Integers* integers, const uint8_t* const* blocks,
                          const int16_t* const* x) {
  for_sums<kRows>([&](int r, int o) KEXA_INLINE_CALL { whole[r][o] = I32x8{}; });
#pragma GCC unroll 16
  for (int step = kFirst; step < kFirst + Integers::kUnit / kLanes; ++step) {
    I16x16 w[kIntegerOutputs], a;
#pragma GCC unroll 3
    for (int o = 0; o < kIntegerOutputs; ++o) load_scaled(w[o], integers[o], blocks[o], step);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      load_parts(a, x[r] + step * kLanes), keep(a.part[0]);
#pragma GCC unroll 3
      for (int o = 0; o < kIntegerOutputs; ++o) add_pairs(whole[r][o], w[o], a);
    }
  }
}

template <typename Integers>
KEXA_INLINE void prepare_blocks(Integers* integers, const uint8_t* const* blocks, float* scales) {
#pragma GCC unroll 3
  for (int o = 0; o < kIntegerOutputs; ++o) {
#pragma GCC unroll 4
    for (int line = 0; line < Integers::kBytes; line += 64) __builtin_prefetch(blocks[o] + kAhead + line);
    prepare_small(integers[o], blocks[o]);
    if constexpr (Integers::kIsSmall)
      scales[o] = small_scale<Integers>(blocks[o]);
    else
      scales[o] = integers[o].d;
  }
}

// Sums of kRows rows and the outputs `rows`. `sums` is [row][output][kSumLanes], its rows kPanelOutputs outputs apart.
template <typename Integers, int kRows>
[[gnu::noinline]] static void stream_integers(const uint8_t* const* rows, const RoundedBlock* const* x, int columns,
                                              float* sums) {
  constexpr int kBlockColumns = Integers::kIsSmall ? Integers::kUnit : kRoundedColumns;
  F32x8 s[kRows][kIntegerOutputs];
  for_sums<kRows>([&](int r, int o) KEXA_INLINE_CALL { s[r][o] = F32x8{}; });
  const uint8_t* b[kIntegerOutputs];
#pragma GCC unroll 3
  for (int o = 0; o < kIntegerOutputs; ++o) b[o] = rows[o];
  for (int k = 0; k < columns; k += kBlockColumns) {
    const int block = k / kRoundedColumns;
    Integers integers[kIntegerOutputs];
    float scales[kIntegerOutputs];
    const int16_t* values[kRows];
    prepare_blocks(integers, b, scales);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) values[r] = x[r][block].values + k % kRoundedColumns;
    I32x8 whole[kRows][kIntegerOutputs];
    const auto add_whole = [&](int r, int o)
                               KEXA_INLINE_CALL { add_scaled(s[r][o], whole[r][o], scales[o] * x[r][block].scale); };
    sum_unit<Integers, kRows, 0>(whole, integers, b, values);
    for_sums<kRows>(add_whole);
    if constexpr (Integers::kUnit < kBlockColumns) {
      sum_unit<Integers, kRows, Integers::kUnit / kLanes>(whole, integers, b, values);
      for_sums<kRows>(add_whole);
    }
    if constexpr (Integers::kHasMinima)
      for_sums<kRows>([&](int r, int o) KEXA_INLINE_CALL {
        I32x8 minima, groups;
        load_parts(minima, integers[o].minima), load_parts(groups, x[r][block].sums);
        add_scaled(s[r][o], minima, groups, -integers[o].dmin * x[r][block].scale);
      });
#pragma GCC unroll 3
    for (int o = 0; o < kIntegerOutputs; ++o) b[o] += Integers::kBytes;
  }
  for_sums<kRows>([&](int r, int o)
                      KEXA_INLINE_CALL { store_parts(sums + (r * kPanelOutputs + o) * kSumLanes, s[r][o]); });
}

// The most rows that are multiplied like this. With more, reading the weights again for each kIntegerRows rows costs
// more than the buffer does. With AVX-512, where they are read half as often, that is so only of types that take many
// instructions to read.
template <typename Integers>
constexpr int kMostStreamedIntegers = [] {
  if (kIntegerRows == 4) return Integers::kIsSmall ? 2 * kIntegerRows : 4;
  if (std::is_same_v<Integers, Q6KLanes::Integers>) return 48;
  if (std::is_same_v<Integers, Iq4XsLanes::Integers>) return 8;
  return Integers::kIsSmall ? kPanelRows : 4;
}();

// Sums of a panel with 2 to kMostStreamedIntegers rows, in groups of nearly one size. There is code for two, four
// and, with AVX-512, six and eight rows. For other counts it does a group's last row again; `sums` has room for that.
template <typename Integers>
static void stream_integer_panel(const uint8_t* const* rows, const RoundedBlock* const* x, int count, int columns,
                                 float* sums) {
  for (int groups = (count + kIntegerRows - 1) / kIntegerRows, r = 0; groups > 0; --groups) {
    const int some = (count - r + groups - 1) / groups;
    const RoundedBlock* all[kIntegerRows];
    for (int i = 0; i < kIntegerRows; ++i) all[i] = x[r + (i < some ? i : some - 1)];
    for (int o = 0; o < kPanelOutputs; o += kIntegerOutputs) {
      float* to = sums + (r * kPanelOutputs + o) * kSumLanes;
      if (some <= 2)
        stream_integers<Integers, 2>(rows + o, all, columns, to);
      else if (some <= 4)
        stream_integers<Integers, 4>(rows + o, all, columns, to);
      else if constexpr (kIntegerRows > 4 && kMostStreamedIntegers<Integers> > 4)
        some <= 6 ? stream_integers<Integers, 6>(rows + o, all, columns, to)
                  : stream_integers<Integers, kIntegerRows>(rows + o, all, columns, to);
    }
    r += some;
  }
}

#endif

}  // namespace kexa::KEXA_SET

// Products with rounded activations, for one instruction set.
// - A unit of a block, 32 to 256 elements, is summed exactly, in whole numbers, in eight lanes: columns 2 i and 2 i + 1
//   go into lane i % 8.
// - The lanes of each unit are added to eight sums in f32, in the order of the columns. At the end lanes 4, 2 and 1
//   apart are added.
// - One row uses the weights where they are stored, and so do few rows (panel_integer_stream.h). Many rows use a
//   buffer, like in panel_vector.h.
#pragma once

#include "cpu/panel_integer_stream.h"

namespace kexa::KEXA_SET {

template <typename Visit, typename Lanes>
KEXA_INLINE void visit_integers(const Visit& visit, Lanes) {
  if constexpr (requires { typename Lanes::Integers; }) visit(typename Lanes::Integers{});
}

// Calls visit(Integers{}) for a type that takes_rounded(). Does nothing for other types.
template <typename Visit>
KEXA_INLINE void with_integers(Type type, const Visit& visit) {
  switch (type) {
#define KEXA_BLOCKS(Name, ...) \
  case Type::k##Name:          \
    return visit_integers(visit, Name##Lanes{});
#include "base/types.inc"
    default:
      return;
  }
}

// The scales of small blocks in 256 columns or fewer, each multiplied by `by`.
template <typename Integers>
KEXA_INLINE void small_scales(const uint8_t* blocks, int count, float by, float* scales) {
#if defined(__AVX2__)
  if (count == 8 && !Integers::kHasF32Scale) {
    const auto half = [&](int i) KEXA_INLINE_CALL {
      uint16_t bits;
      std::memcpy(&bits, blocks + i * Integers::kBytes, sizeof bits);
      return uint64_t{bits};
    };
    const auto four = [&](int i) KEXA_INLINE_CALL {
      return half(i) | half(i + 1) << 16 | half(i + 2) << 32 | half(i + 3) << 48;
    };
    const __m128i halves = _mm_set_epi64x(int64_t(four(4)), int64_t(four(0)));
    _mm256_storeu_ps(scales, _mm256_cvtph_ps(halves) * by);
    return;
  }
#endif
  for (int i = 0; i < count; ++i) scales[i] = small_scale<Integers>(blocks + i * Integers::kBytes) * by;
}

constexpr int kTogether = 3;

template <typename Integers>
KEXA_INLINE void add_small_block(F32x8& sums, const uint8_t* block, const int16_t* x, float scale) {
#pragma GCC unroll 4
  for (int line = 0; line < Integers::kBytes; line += 64) __builtin_prefetch(block + kAhead + line);
  Integers integers;
  prepare_small(integers, block);
  I32x8 whole{};
  I16x16 w, a;
#pragma GCC unroll 8
  for (int step = 0; step < Integers::kUnit / kLanes; ++step) {
    integers.load(w, block, step), load_parts(a, x + step * kLanes);
    add_pairs(whole, w, a);
  }
  add_scaled(sums, whole, scale);
}
template <typename Integers>
KEXA_INLINE void add_large_block(F32x8& sums, const uint8_t* block, const RoundedBlock& x) {
#pragma GCC unroll 4
  for (int line = 0; line < Integers::kBytes; line += 64) __builtin_prefetch(block + kAhead + line);
  Integers integers;
  integers.prepare(block);
  // Tells GCC that both have changed. Otherwise it keeps the activations in registers for the next output. There are
  // too few registers for that, so it would spend instructions on filling registers from others.
  const RoundedBlock* from = &x;
  asm volatile("" : "+r"(from), "+m"(integers.scale));
#pragma GCC unroll 2
  for (int first = 0; first < kRoundedColumns / kLanes; first += Integers::kUnit / kLanes) {
    I32x8 whole{};
    I16x16 w, a;
    if constexpr (kScalesSums<Integers>) {
#pragma GCC unroll 8
      for (int step = first; step < first + Integers::kUnit / kLanes; step += 2) {
        I32x8 group{};
        Integers::load_codes(w, block, step), load_parts(a, from->values + step * kLanes), add_pairs(group, w, a);
        Integers::load_codes(w, block, step + 1), load_parts(a, from->values + (step + 1) * kLanes),
            add_pairs(group, w, a);
        add_multiple(whole, group, integers.scale[step / 2]);
      }
    } else {
#pragma GCC unroll 16
      for (int step = first; step < first + Integers::kUnit / kLanes; ++step) {
        integers.load(w, block, step), load_parts(a, from->values + step * kLanes);
        add_pairs(whole, w, a);
      }
    }
    add_scaled(sums, whole, integers.d * x.scale);
  }
  if constexpr (Integers::kHasMinima) {
    I32x8 minima, groups;
    load_parts(minima, integers.minima), load_parts(groups, x.sums);
    add_scaled(sums, minima, groups, -integers.dmin * x.scale);
  }
}

// `sums` is [kPanelOutputs][kSumLanes].
template <typename Integers>
[[gnu::noinline]] static void multiply_rounded_row(const uint8_t* const* rows, const RoundedBlock* x, int columns,
                                                   float* sums) {
  constexpr int kBlocks = Integers::kIsSmall ? kRoundedColumns / Integers::kUnit : 1;  // in a rounded block
  for (int first = 0; first < kPanelOutputs; first += kTogether) {
    const uint8_t *b0 = rows[first], *b1 = rows[first + 1], *b2 = rows[first + 2];
    F32x8 s0{}, s1{}, s2{};
    for (int k = 0; k < columns; k += kRoundedColumns) {
      const RoundedBlock& block = x[k / kRoundedColumns];
      if constexpr (Integers::kIsSmall) {
        const int left = columns - k, count = left < kRoundedColumns ? left / Integers::kUnit : kBlocks;
        float scales[kTogether][8];
        // Scales in f16 are converted eight at a time, those in f32 are read where they are used.
        if constexpr (!Integers::kHasF32Scale) {
          small_scales<Integers>(b0, count, block.scale, scales[0]);
          small_scales<Integers>(b1, count, block.scale, scales[1]);
          small_scales<Integers>(b2, count, block.scale, scales[2]);
        }
        const auto scale = [&](const uint8_t* from, const float& converted) KEXA_INLINE_CALL {
          return Integers::kHasF32Scale ? float_at(from) * block.scale : converted;
        };
        for (int i = 0; i < count; ++i) {
          const int16_t* values = block.values + i * Integers::kUnit;
          const int at = i * Integers::kBytes;
          add_small_block<Integers>(s0, b0 + at, values, scale(b0 + at, scales[0][i]));
          add_small_block<Integers>(s1, b1 + at, values, scale(b1 + at, scales[1][i]));
          add_small_block<Integers>(s2, b2 + at, values, scale(b2 + at, scales[2][i]));
        }
      } else {
        add_large_block<Integers>(s0, b0, block);
        add_large_block<Integers>(s1, b1, block);
        add_large_block<Integers>(s2, b2, block);
      }
      b0 += kBlocks * Integers::kBytes, b1 += kBlocks * Integers::kBytes, b2 += kBlocks * Integers::kBytes;
    }
    store_parts(sums + first * kSumLanes, s0), store_parts(sums + (first + 1) * kSumLanes, s1),
        store_parts(sums + (first + 2) * kSumLanes, s2);
  }
}

// 256 columns of all rows of a panel. Zeros follow the rows' ends.
struct IntegerPanel {
  alignas(64) int16_t weights[kPanelOutputs][kRoundedColumns];
  alignas(64) float scales[kPanelOutputs][8];  // one for each small block, or only the first, for all columns
  int32_t minima[kPanelOutputs][8];
  float minima_scales[kPanelOutputs];
};

template <typename Integers>
[[gnu::noinline]] static void convert_integers(const uint8_t* const* rows, int columns, IntegerPanel& panel) {
  for (int o = 0; o < kPanelOutputs; ++o) {
    const uint8_t* block = rows[o];
    int16_t* to = panel.weights[o];
    I16x16 w;
    if constexpr (Integers::kIsSmall) {
      constexpr int kUnit = Integers::kUnit;
      small_scales<Integers>(block, columns / kUnit, 1, panel.scales[o]);
      for (int i = 0; i < columns / kUnit; ++i, block += Integers::kBytes) {
        Integers integers;
        prepare_small(integers, block);
#pragma GCC unroll 8
        for (int step = 0; step < kUnit / kLanes; ++step)
          integers.load(w, block, step), store_parts(to + i * kUnit + step * kLanes, w);
      }
    } else {
      Integers integers;
      integers.prepare(block);
#pragma GCC unroll 16
      for (int step = 0; step < kRoundedColumns / kLanes; ++step)
        load_scaled(w, integers, block, step), store_parts(to + step * kLanes, w);
      panel.scales[o][0] = integers.d;
      if constexpr (Integers::kHasMinima) {
        std::memcpy(panel.minima[o], integers.minima, sizeof integers.minima);
        panel.minima_scales[o] = -integers.dmin;
      }
    }
  }
}

// Adds to sums[r][o], for kRows rows by kTileOutputs outputs, the products over `columns` columns: 256, or fewer of
// small blocks. `sums` is [row][kPanelOutputs][kSumLanes]. With `is_first` there are no sums yet.
template <typename Integers, int kRows>
[[gnu::noinline]] static void multiply_integer_tile(const RoundedBlock* const* x, const IntegerPanel& panel, int first,
                                                    int columns, bool is_first, float* sums) {
  F32x8 s[kRows][kTileOutputs];
  const auto all = [&](const auto& visit) KEXA_INLINE_CALL {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 6
      for (int o = 0; o < kTileOutputs; ++o) visit(r, o);
  };
  const auto load_sums = [&](int r, int o) KEXA_INLINE_CALL {
    s[r][o] = F32x8{};
    if (!is_first) load_parts(s[r][o], sums + (r * kPanelOutputs + o) * kSumLanes);
  };
  if constexpr (Integers::kUnit == 32) {
    float scales[kRows][kTileOutputs][8];
    all([&](int r, int o) KEXA_INLINE_CALL {
      for (int i = 0; i < 8; ++i) scales[r][o][i] = panel.scales[first + o][i] * x[r]->scale;
    });
    all(load_sums);
    for (int i = 0; i < columns / 32; ++i) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        I16x16 a[2], w;
        load_parts(a[0], x[r]->values + i * 32), load_parts(a[1], x[r]->values + i * 32 + kLanes);
#pragma GCC unroll 6
        for (int o = 0; o < kTileOutputs; ++o) {
          I32x8 whole{};
          load_parts(w, panel.weights[first + o] + i * 32), add_pairs(whole, w, a[0]);
          load_parts(w, panel.weights[first + o] + i * 32 + kLanes), add_pairs(whole, w, a[1]);
          add_scaled(s[r][o], whole, scales[r][o][i]);
        }
      }
    }
    all([&](int r, int o) KEXA_INLINE_CALL { store_parts(sums + (r * kPanelOutputs + o) * kSumLanes, s[r][o]); });
  } else {
    const int end = Integers::kIsSmall ? columns : kRoundedColumns;
    for (int k = 0; k < end; k += Integers::kUnit) {
      I32x8 whole[kRows][kTileOutputs] = {};
      for (int step = k / kLanes; step < (k + Integers::kUnit) / kLanes; ++step) {
        I16x16 w[kTileOutputs], a;
#pragma GCC unroll 6
        for (int o = 0; o < kTileOutputs; ++o) load_parts(w[o], panel.weights[first + o] + step * kLanes);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          load_parts(a, x[r]->values + step * kLanes);
#pragma GCC unroll 6
          for (int o = 0; o < kTileOutputs; ++o) add_pairs(whole[r][o], w[o], a);
        }
      }
      all([&](int r, int o) KEXA_INLINE_CALL {
        F32x8 sum{};
        float* at = sums + (r * kPanelOutputs + o) * kSumLanes;
        if (!is_first || k > 0) load_parts(sum, at);
        add_scaled(sum, whole[r][o],
                   panel.scales[first + o][Integers::kIsSmall ? k / Integers::kUnit : 0] * x[r]->scale);
        if constexpr (Integers::kHasMinima) {
          I32x8 minima, groups;
          load_parts(minima, panel.minima[first + o]), load_parts(groups, x[r]->sums);
          add_scaled(sum, minima, groups, panel.minima_scales[first + o] * x[r]->scale);
        }
        store_parts(at, sum);
      });
    }
  }
}

template <typename Integers>
static void multiply_rounded_rows(const PanelSource& weights, const RoundedBlock* const* x, int rows, float* sums) {
  IntegerPanel panel;
  const RoundedBlock* at[kPanelRows];
  for (int start = 0; start < weights.columns; start += kRoundedColumns) {
    const int left = weights.columns - start, columns = left < kRoundedColumns ? left : kRoundedColumns;
    const uint8_t* from[kPanelOutputs];
    for (int o = 0; o < kPanelOutputs; ++o)
      from[o] = reinterpret_cast<const uint8_t*>(weights.rows[o]) + bytes_of(weights.type, start);
    convert_integers<Integers>(from, columns, panel);
    for (int r = 0; r < rows; ++r) at[r] = x[r] + start / kRoundedColumns;
    for (int r = 0; r < rows; r += kTileRows)
      for (int o = 0; o < kPanelOutputs; o += kTileOutputs) {
        float* tile = sums + (r * kPanelOutputs + o) * kSumLanes;
        switch (rows - r) {
          case 1:
            multiply_integer_tile<Integers, 1>(at + r, panel, o, columns, start == 0, tile);
            break;
          case 2:
            multiply_integer_tile<Integers, 2>(at + r, panel, o, columns, start == 0, tile);
            break;
          case 3:
            multiply_integer_tile<Integers, 3>(at + r, panel, o, columns, start == 0, tile);
            break;
          default:
            multiply_integer_tile<Integers, 4>(at + r, panel, o, columns, start == 0, tile);
        }
      }
  }
}

static void multiply_rounded_panel(const PanelSource& weights, const RoundedBlock* const* x, int rows, float* out) {
  alignas(64) float sums[kPanelRows * kPanelOutputs * kSumLanes];
  with_integers(weights.type, [&](auto integers) KEXA_INLINE_CALL {
    using Integers = decltype(integers);
    const auto* const* from = reinterpret_cast<const uint8_t* const*>(weights.rows);
    if (rows == 1) return multiply_rounded_row<Integers>(from, x[0], weights.columns, sums);
#if defined(__AVX2__)
    if (rows <= kMostStreamedIntegers<Integers>)
      return stream_integer_panel<Integers>(from, x, rows, weights.columns, sums);
#endif
    multiply_rounded_rows<Integers>(weights, x, rows, sums);
  });
  for (int r = 0; r < rows; ++r)
    for (int o = 0; o < kPanelOutputs; ++o) {
      F32x4 low, high;
      std::memcpy(&low, sums + (r * kPanelOutputs + o) * kSumLanes, 16);
      std::memcpy(&high, sums + (r * kPanelOutputs + o) * kSumLanes + 4, 16);
      low += high;
      out[o * kPanelRows + r] = (low[0] + low[2]) + (low[1] + low[3]);
    }
}

}  // namespace kexa::KEXA_SET

// Products of few rows with stored weights, for one instruction set. Each register of weights is made once and is
// multiplied there by every row, so that a step of a few rows costs little more than a step of one. A sum takes its
// products in the order of multiply_row(), so a row's bits do not depend on how many rows there are.
#pragma once

#include <type_traits>

#include "cpu/element_lanes.h"

namespace kexa::KEXA_SET {

// Weights are prefetched this many bytes before their use. Elements that stand alone are read sooner.
constexpr int kAhead = 1024, kElementsAhead = 512;
template <typename Lanes>
constexpr int ahead_of = Lanes::kElements == kLanes ? kElementsAhead : kAhead;

// The rows of a tile. With three outputs its sums take 12 of 16 registers, with six 24 of 32.
constexpr int kTileRows = 4;
#if defined(__AVX2__) && !defined(__AVX512F__)
constexpr int kTileOutputs = 3;
#else
constexpr int kTileOutputs = 6;
#endif
static_assert(kPanelOutputs % kTileOutputs == 0);

// Keeps a vector in a register from here on. Otherwise GCC turns each of its uses into a load of its own, and there are
// fewer units that load than units that multiply.
template <typename Vector>
KEXA_INLINE void keep(Vector& vector) {
#if defined(__AVX2__)
  asm("" : "+v"(vector));
#else
  asm("" : "+w"(vector));
#endif
}

// Values of f8_e4m3 times the scale of their block of columns.
struct ScaledE4m3Lanes {
  static constexpr int kElements = kLanes, kBytes = kLanes;
  float scale;
  KEXA_INLINE void prepare(const uint8_t*) {}
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* codes, int) const {
    load_e4m3(lanes, codes);
    lanes *= scale;
  }
};

// How sums are held in registers: those of `outputs` weight rows at a time, and `parts` of each sum's kParts registers.
// With fewer than all parts the columns are gone over again for the others, by then in the first-level cache.
struct StreamShape {
  int outputs, parts;
};
template <typename Lanes>
constexpr StreamShape stream_shape(int rows) {
  constexpr bool kIsLarge = Lanes::kElements > 128;  // GCC spills registers in a loop over so many columns
  if (kParts == 1) return {3, 1};
  if (kParts == 4) return {3, rows <= 4 ? 2 : 1};
  if (rows == 2) return {kIsLarge ? 2 : 3, 2};
  return kIsLarge ? StreamShape{1, 2} : StreamShape{3, 1};
}
// The most rows at a time: their sums fill three quarters of the registers.
constexpr int kStreamRows = kParts == 2 ? 4 : 8;

// The most rows in a step that are multiplied like this. With more, a buffer (panel_vector.h) is faster, because each
// kStreamRows rows read the weights again here. Some types of 256 elements always use the buffer: it costs little next
// to the many instructions that read them, and it needs no code for each count of rows.
template <typename Lanes>
constexpr int kMostStreamed = [] {
  constexpr bool kIsQuick = std::is_same_v<Lanes, Q4KLanes> || std::is_same_v<Lanes, Q5KLanes> ||
                            std::is_same_v<Lanes, Q6KLanes> || std::is_same_v<Lanes, Iq4XsLanes>;
  if (Lanes::kElements == 256 && !kIsQuick) return 1;
  if (kParts == 1) return 32;
  return std::is_same_v<Lanes, ScaledE4m3Lanes> ? kStreamRows : 8;
}();

template <typename Lanes, int kOutputs>
KEXA_INLINE void prefetch_blocks(const uint8_t* const* blocks) {
#pragma GCC unroll 4
  for (int line = 0; line < Lanes::kBytes; line += 64)
#pragma GCC unroll 3
    for (int o = 0; o < kOutputs; ++o) __builtin_prefetch(blocks[o] + ahead_of<Lanes> + line);
}

// Sums of kRows rows and the panel's outputs from `first` on, the parts from kPart on. `sums` is
// [row][kPanelOutputs][16].
template <typename Lanes, int kRows, int kPart>
KEXA_INLINE void stream_parts(const PanelSource& weights, int first, const float* const* x, float* sums) {
  constexpr int kOutputs = stream_shape<Lanes>(kRows).outputs, kCount = stream_shape<Lanes>(kRows).parts;
  Part s[kRows][kOutputs][kCount];
  const auto all = [&](const auto& visit) KEXA_INLINE_CALL {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
      for (int o = 0; o < kOutputs; ++o)
#pragma GCC unroll 4
        for (int p = 0; p < kCount; ++p) visit(r, o, p);
  };
  all([&](int r, int o, int p) KEXA_INLINE_CALL { s[r][o][p] = Part{}; });
  const uint8_t* b[kOutputs];
  const float* a[kRows];
  Lanes lanes[kOutputs];
#pragma GCC unroll 3
  for (int o = 0; o < kOutputs; ++o) b[o] = reinterpret_cast<const uint8_t*>(weights.rows[first + o]);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) a[r] = x[r] + kPart * kWidth;
  int k = 0;
  const auto go_to = [&](int end) KEXA_INLINE_CALL {
    for (; k + Lanes::kElements <= end; k += Lanes::kElements) {
      if constexpr (kPart == 0) prefetch_blocks<Lanes, kOutputs>(b);
#pragma GCC unroll 3
      for (int o = 0; o < kOutputs; ++o) lanes[o].prepare(b[o]);
#pragma GCC unroll 16
      for (int step = 0; step < Lanes::kElements / kLanes; ++step) {
        Part w[kOutputs][kCount];
#pragma GCC unroll 3
        for (int o = 0; o < kOutputs; ++o) {
          F32x16 values;
          lanes[o].load(values, b[o], step);
#pragma GCC unroll 4
          for (int p = 0; p < kCount; ++p) w[o][p] = values.part[kPart + p];
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
          for (int p = 0; p < kCount; ++p) {
            Part v;
            load_part(v, a[r] + k + step * kLanes + p * kWidth);
            if constexpr (kOutputs > 1) keep(v);
#pragma GCC unroll 3
            for (int o = 0; o < kOutputs; ++o) s[r][o][p] += v * w[o][p];
          }
      }
#pragma GCC unroll 3
      for (int o = 0; o < kOutputs; ++o) b[o] += Lanes::kBytes;
    }
    if (k == end) return;
    F32x16 w[kOutputs], v;
#pragma GCC unroll 3
    for (int o = 0; o < kOutputs; ++o) load_end(w[o], lanes[o], b[o], end - k);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      load_some(v, x[r] + k, end - k);
#pragma GCC unroll 3
      for (int o = 0; o < kOutputs; ++o)
#pragma GCC unroll 4
        for (int p = 0; p < kCount; ++p) s[r][o][p] += v.part[kPart + p] * w[o].part[kPart + p];
    }
    k = end;
  };
  if constexpr (requires { lanes[0].scale; } && Lanes::kElements == kLanes) {
    for (int block = 0; k < weights.columns; ++block) {
      const int left = weights.columns - k;
#pragma GCC unroll 3
      for (int o = 0; o < kOutputs; ++o) lanes[o].scale = weights.scales[first + o][block];
      go_to(k + (left < weights.block_columns ? left : weights.block_columns));
    }
  } else {
    go_to(weights.columns);
  }
  all([&](int r, int o, int p) KEXA_INLINE_CALL {
    store_part(sums + (r * kPanelOutputs + first + o) * kLanes + (kPart + p) * kWidth, s[r][o][p]);
  });
}

template <typename Lanes, int kRows>
[[gnu::noinline]] static void stream_rows(const PanelSource& weights, const float* const* x, float* sums) {
  constexpr StreamShape kShape = stream_shape<Lanes>(kRows);
  for (int first = 0; first < kPanelOutputs; first += kShape.outputs) {
    stream_parts<Lanes, kRows, 0>(weights, first, x, sums);
    if constexpr (kShape.parts < kParts) stream_parts<Lanes, kRows, kShape.parts>(weights, first, x, sums);
    if constexpr (2 * kShape.parts < kParts) {
      stream_parts<Lanes, kRows, 2 * kShape.parts>(weights, first, x, sums);
      stream_parts<Lanes, kRows, 3 * kShape.parts>(weights, first, x, sums);
    }
  }
}

// The same for 1 to kStreamRows rows. There is no code of its own for some counts: it does the last row again, and
// `sums` has room for that.
template <typename Lanes>
KEXA_INLINE void stream_some(const PanelSource& weights, const float* const* x, int rows, float* sums) {
  if (rows <= 2) return stream_rows<Lanes, 2>(weights, x, sums);
  if (rows == 3) return stream_rows<Lanes, 3>(weights, x, sums);
  if (rows == 4) return stream_rows<Lanes, 4>(weights, x, sums);
  if constexpr (kStreamRows > 4) {
    const float* all[kStreamRows];
    for (int r = 0; r < kStreamRows; ++r) all[r] = x[r < rows ? r : rows - 1];
    if (rows <= 6) return stream_rows<Lanes, 6>(weights, all, sums);
    stream_rows<Lanes, 8>(weights, all, sums);
  }
}

// Sums of a panel with two rows or more, as many at a time as there are registers for, in groups of nearly one size.
// Each group reads the weights again, which are near by then.
template <typename Lanes>
static void stream_panel(const PanelSource& weights, const float* const* x, int rows, float* sums) {
  for (int groups = (rows + kStreamRows - 1) / kStreamRows, r = 0; groups > 0; --groups) {
    const int count = (rows - r + groups - 1) / groups;
    stream_some<Lanes>(weights, x + r, count, sums + r * kPanelOutputs * kLanes);
    r += count;
  }
}

}  // namespace kexa::KEXA_SET

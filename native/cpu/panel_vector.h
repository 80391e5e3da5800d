// The inner loops of panel.h for one instruction set (KEXA_SET). Each set's file includes it once.
//
// For one row, each weight is read once and multiplied right after its conversion; panel_stream.h does the same for a
// few rows. For many rows, a buffer holds a panel's weights as floats, kColumns columns at a time. Four rows at once
// are multiplied with it in a tile whose sums stay in registers. A register holds a part of a sum's sixteen lanes, so a
// tile goes over its columns once for each part.
#pragma once

#include "cpu/panel_stream.h"

namespace kexa::KEXA_SET {

// Columns converted at a time, a multiple of every type's block. A tile reads three rows of weights (six with AVX-512)
// and four rows of activations of them, which fit the first-level cache.
constexpr int kColumns = 1024;

template <typename Lanes>
[[gnu::noinline]] static void convert(const uint8_t* block, int n, float* out) {
  Lanes lanes;
  F32x16 values;
  int i = 0;
  for (; i + Lanes::kElements <= n; i += Lanes::kElements, block += Lanes::kBytes) {
    lanes.prepare(block);
#pragma GCC unroll 16
    for (int step = 0; step < Lanes::kElements / kLanes; ++step)
      lanes.load(values, block, step), store(out + i + step * kLanes, values);
  }
  if (i == n) return;
  float some[kLanes];
  load_end(values, lanes, block, n - i);
  store(some, values);
  std::memcpy(out + i, some, size_t(n - i) * sizeof(float));
}

static void read_elements(const std::byte* from, Type type, int n, float* out) {
  with_lanes(type, [&](auto lanes)
                       KEXA_INLINE_CALL { convert<decltype(lanes)>(reinterpret_cast<const uint8_t*>(from), n, out); });
}

// Puts sixteen columns of row o into a panel of `steps` such steps.
KEXA_INLINE void put_step(float* panel, int steps, int o, int step, const F32x16& values) {
  float* to = panel + o / kTileOutputs * kParts * steps * kTileOutputs * kWidth + o % kTileOutputs * kWidth;
#pragma GCC unroll 4
  for (int part = 0; part < kParts; ++part)
    store_part(to + (part * steps + step) * kTileOutputs * kWidth, values.part[part]);
}

// Converts n columns of all rows of a panel, in the order in which tiles read them: [tile][part of the
// lanes][step][output of the tile][lanes of the part].
template <typename Lanes>
[[gnu::noinline]] static void convert_panel(const uint8_t* const* rows, int n, float* panel) {
  const int steps = (n + kLanes - 1) / kLanes;
  for (int o = 0; o < kPanelOutputs; ++o) {
    const auto put = [&](const F32x16& values, int step) KEXA_INLINE_CALL { put_step(panel, steps, o, step, values); };
    const uint8_t* block = rows[o];
    Lanes lanes;
    F32x16 values;
    int i = 0;
    for (; i + Lanes::kElements <= n; i += Lanes::kElements, block += Lanes::kBytes) {
#pragma GCC unroll 4
      for (int line = 0; line < Lanes::kBytes; line += 64) __builtin_prefetch(block + ahead_of<Lanes> + line);
      lanes.prepare(block);
#pragma GCC unroll 16
      for (int step = 0; step < Lanes::kElements / kLanes; ++step)
        lanes.load(values, block, step), put(values, i / kLanes + step);
    }
    if (i < n) load_end(values, lanes, block, n - i), put(values, i / kLanes);
  }
}

// Converts a panel of FP8, from column `start` on.
static void convert_fp8_panel(const PanelSource& weights, int start, int n, float* panel) {
  const int steps = (n + kLanes - 1) / kLanes;
  for (int o = 0; o < kPanelOutputs; ++o) {
    const auto* codes = reinterpret_cast<const uint8_t*>(weights.rows[o]) + start;
    for (int step = 0; step < steps; ++step) {
      const int i = step * kLanes;
      F32x16 values;
      if (i + kLanes <= n)
        load_e4m3(values, codes + i);
      else
        load_end(values, F8E4m3Lanes{}, codes + i, n - i);
      put_step(panel, steps, o, step, values * weights.scales[o][(start + i) / weights.block_columns]);
    }
  }
}

// Adds to sums[r][o], for kRows rows by kTileOutputs outputs, the products over `steps` * 16 columns. `sums` is
// [row][kPanelOutputs][16]; `part_stride` is the distance of two parts in the panel (floats). With kIsFirst there are
// no sums yet.
template <int kRows, bool kIsFirst>
KEXA_INLINE void multiply_tile(const float* const* x, const float* panel, int part_stride, int steps, float* sums) {
#pragma GCC unroll 4
  for (int part = 0; part < kParts; ++part) {
    Part s[kRows][kTileOutputs];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 6
      for (int o = 0; o < kTileOutputs; ++o) {
        s[r][o] = Part{};
        if (!kIsFirst) load_part(s[r][o], sums + (r * kPanelOutputs + o) * kLanes + part * kWidth);
      }
    const float* weights = panel + part * part_stride;
    for (int k = 0; k < steps; ++k, weights += kTileOutputs * kWidth) {
      Part w[kTileOutputs];
#pragma GCC unroll 6
      for (int o = 0; o < kTileOutputs; ++o) load_part(w[o], weights + o * kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        Part a;
        load_part(a, x[r] + k * kLanes + part * kWidth), keep(a);
#pragma GCC unroll 6
        for (int o = 0; o < kTileOutputs; ++o) s[r][o] += a * w[o];
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 6
      for (int o = 0; o < kTileOutputs; ++o)
        store_part(sums + (r * kPanelOutputs + o) * kLanes + part * kWidth, s[r][o]);
  }
}

template <int kRows>
[[gnu::noinline]] static void multiply_rows(const float* const* rows, int start, int n, const float* panel,
                                            float* sums) {
  const int steps = (n + kLanes - 1) / kLanes, whole = n / kLanes;
  const int part_stride = steps * kTileOutputs * kWidth;
  const float* x[kRows];
  const float* end[kRows];
  float ends[kRows][kLanes];
  for (int r = 0; r < kRows; ++r) {
    x[r] = rows[r] + start;
    F32x16 values;
    load_some(values, x[r] + whole * kLanes, n - whole * kLanes);
    store(ends[r], values), end[r] = ends[r];
  }
  for (int tile = 0; tile < kPanelOutputs / kTileOutputs; ++tile) {
    const float* weights = panel + tile * kParts * part_stride;
    float* tile_sums = sums + tile * kTileOutputs * kLanes;
    if (start == 0)
      multiply_tile<kRows, true>(x, weights, part_stride, whole, tile_sums);
    else
      multiply_tile<kRows, false>(x, weights, part_stride, whole, tile_sums);
    if (whole < steps)
      multiply_tile<kRows, false>(end, weights + whole * kTileOutputs * kWidth, part_stride, 1, tile_sums);
  }
}

// One row by three outputs at a time.
template <typename Lanes>
[[gnu::noinline]] static void multiply_row(const uint8_t* const* rows, const float* x, int columns, float* sums) {
  constexpr int kTogether = 3;
  for (int first = 0; first < kPanelOutputs; first += kTogether) {
    const uint8_t *b0 = rows[first], *b1 = rows[first + 1], *b2 = rows[first + 2];
    F32x16 s0{}, s1{}, s2{}, a, w0, w1, w2;
    Lanes l0, l1, l2;
    int k = 0;
    for (; k + Lanes::kElements <= columns; k += Lanes::kElements) {
#pragma GCC unroll 4
      for (int line = 0; line < Lanes::kBytes; line += 64)
        __builtin_prefetch(b0 + ahead_of<Lanes> + line), __builtin_prefetch(b1 + ahead_of<Lanes> + line),
            __builtin_prefetch(b2 + ahead_of<Lanes> + line);
      l0.prepare(b0), l1.prepare(b1), l2.prepare(b2);
#pragma GCC unroll 16
      for (int step = 0; step < Lanes::kElements / kLanes; ++step) {
        load(a, x + k + step * kLanes);
        l0.load(w0, b0, step), add_product(s0, a, w0);
        l1.load(w1, b1, step), add_product(s1, a, w1);
        l2.load(w2, b2, step), add_product(s2, a, w2);
      }
      b0 += Lanes::kBytes, b1 += Lanes::kBytes, b2 += Lanes::kBytes;
    }
    if (k < columns) {
      load_some(a, x + k, columns - k);
      load_end(w0, l0, b0, columns - k), add_product(s0, a, w0);
      load_end(w1, l1, b1, columns - k), add_product(s1, a, w1);
      load_end(w2, l2, b2, columns - k), add_product(s2, a, w2);
    }
    store(sums + first * kLanes, s0), store(sums + (first + 1) * kLanes, s1), store(sums + (first + 2) * kLanes, s2);
  }
}

// One row of FP8: a block of columns at a time, so that its scales stay in registers.
[[gnu::noinline]] static void multiply_fp8_row(const PanelSource& weights, const float* x, float* sums) {
  constexpr int kTogether = 3;
  const int columns = weights.columns;
  for (int first = 0; first < kPanelOutputs; first += kTogether) {
    const auto row = [&](int o) { return reinterpret_cast<const uint8_t*>(weights.rows[first + o]); };
    const uint8_t *c0 = row(0), *c1 = row(1), *c2 = row(2);
    F32x16 s0{}, s1{}, s2{}, a, w;
    for (int k = 0, block = 0; k < columns; ++block) {
      const float d0 = weights.scales[first][block], d1 = weights.scales[first + 1][block],
                  d2 = weights.scales[first + 2][block];
      const int left = columns - k, end = k + (left < weights.block_columns ? left : weights.block_columns);
      for (; k + kLanes <= end; k += kLanes) {
        load(a, x + k);
        load_e4m3(w, c0 + k), add_product(s0, a, w * d0);
        load_e4m3(w, c1 + k), add_product(s1, a, w * d1);
        load_e4m3(w, c2 + k), add_product(s2, a, w * d2);
      }
      if (k == end) continue;
      load_some(a, x + k, end - k);
      load_end(w, F8E4m3Lanes{}, c0 + k, end - k), add_product(s0, a, w * d0);
      load_end(w, F8E4m3Lanes{}, c1 + k, end - k), add_product(s1, a, w * d1);
      load_end(w, F8E4m3Lanes{}, c2 + k, end - k), add_product(s2, a, w * d2);
      k = end;
    }
    store(sums + first * kLanes, s0), store(sums + (first + 1) * kLanes, s1), store(sums + (first + 2) * kLanes, s2);
  }
}

// out[o * kPanelRows + r] = the sum of the sixteen lanes of sums[r][o]. Four sums are added at once: of four rows and
// one output, then of any rows and outputs that are left.
static void put_sums(const float* sums, int rows, float* out) {
  int r = 0;
  for (; r + 4 <= rows; r += 4)
    for (int o = 0; o < kPanelOutputs; ++o) {
      const auto lanes_of = [&](int i) KEXA_INLINE_CALL { return sums + ((r + i) * kPanelOutputs + o) * kLanes; };
      const F32x4 four = sums_of_four(lanes_of(0), lanes_of(1), lanes_of(2), lanes_of(3));
      std::memcpy(out + o * kPanelRows + r, &four, sizeof four);
    }
  for (int i = r * kPanelOutputs; i < rows * kPanelOutputs; i += 4) {
    const int count = rows * kPanelOutputs - i < 4 ? rows * kPanelOutputs - i : 4;
    const auto lanes_of = [&](int j) KEXA_INLINE_CALL { return sums + (j < count ? i + j : i) * kLanes; };
    const F32x4 four = sums_of_four(lanes_of(0), lanes_of(1), lanes_of(2), lanes_of(3));
    for (int j = 0; j < count; ++j) out[(i + j) % kPanelOutputs * kPanelRows + (i + j) / kPanelOutputs] = four[j];
  }
}

// Sums of a panel with several rows, by way of the buffer.
static void multiply_tiles(const PanelSource& weights, const float* const* x, int rows, float* sums) {
  alignas(64) float panel[kPanelOutputs * kColumns];
  for (int start = 0; start < weights.columns; start += kColumns) {
    const int left = weights.columns - start, n = left < kColumns ? left : kColumns;
    const uint8_t* from[kPanelOutputs];
    for (int o = 0; o < kPanelOutputs; ++o)
      from[o] = reinterpret_cast<const uint8_t*>(weights.rows[o]) + bytes_of(weights.type, start);
    if (weights.type == Type::kF8E4m3)
      convert_fp8_panel(weights, start, n, panel);
    else
      with_lanes(weights.type, [&](auto lanes) KEXA_INLINE_CALL { convert_panel<decltype(lanes)>(from, n, panel); });
    for (int r = 0; r < rows; r += kTileRows) {
      float* tile_sums = sums + r * kPanelOutputs * kLanes;
      switch (rows - r) {
        case 1:
          multiply_rows<1>(x + r, start, n, panel, tile_sums);
          break;
        case 2:
          multiply_rows<2>(x + r, start, n, panel, tile_sums);
          break;
        case 3:
          multiply_rows<3>(x + r, start, n, panel, tile_sums);
          break;
        default:
          multiply_rows<4>(x + r, start, n, panel, tile_sums);
      }
    }
  }
}

template <typename Lanes>
KEXA_INLINE void multiply_several(const PanelSource& weights, const float* const* x, int rows, float* sums) {
  if constexpr (kMostStreamed<Lanes> > 1)
    if (rows <= kMostStreamed<Lanes>) return stream_panel<Lanes>(weights, x, rows, sums);
  multiply_tiles(weights, x, rows, sums);
}

static void multiply_panel(const PanelSource& weights, const float* const* x, int rows, float* out) {
  alignas(64) float sums[kPanelRows * kPanelOutputs * kLanes];
  if (weights.type == Type::kF8E4m3 && rows == 1) {
    multiply_fp8_row(weights, x[0], sums);
  } else if (weights.type == Type::kF8E4m3) {
    multiply_several<ScaledE4m3Lanes>(weights, x, rows, sums);
  } else {
    with_lanes(weights.type, [&](auto lanes) KEXA_INLINE_CALL {
      using Lanes = decltype(lanes);
      if (rows == 1)
        multiply_row<Lanes>(reinterpret_cast<const uint8_t* const*>(weights.rows), x[0], weights.columns, sums);
      else
        multiply_several<Lanes>(weights, x, rows, sums);
    });
  }
  put_sums(sums, rows, out);
}

static float dot(const float* a, const float* b, int n) {
  F32x16 sum{}, x, y;
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) load(x, a + i), load(y, b + i), add_product(sum, x, y);
  if (i < n) load_some(x, a + i, n - i), load_some(y, b + i, n - i), add_product(sum, x, y);
  float lanes[kLanes];
  store(lanes, sum);
  return sums_of_four(lanes, lanes, lanes, lanes)[0];
}

// kVectors * 16 columns, from column i on.
template <typename Lanes, int kVectors>
KEXA_INLINE void add_scaled_columns(const std::byte* const* rows, const float* factors, int count, int i, float* out) {
  F32x16 sums[kVectors], values;
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) load(sums[v], out + i + v * kLanes);
  for (int j = 0; j < count; ++j) {
    const auto* from = reinterpret_cast<const uint8_t*>(rows[j]) + i / kLanes * Lanes::kBytes;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Lanes{}.load(values, from + v * Lanes::kBytes, 0);
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) sums[v].part[part] += values.part[part] * factors[j];
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) store(out + i + v * kLanes, sums[v]);
}

template <typename Lanes>
[[gnu::noinline]] static void add_scaled_of(const std::byte* const* rows, const float* factors, int count, int n,
                                            float* out) {
  int i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) add_scaled_columns<Lanes, 4>(rows, factors, count, i, out);
  for (; i + kLanes <= n; i += kLanes) add_scaled_columns<Lanes, 1>(rows, factors, count, i, out);
  if (i == n) return;
  F32x16 sums, values;
  load_some(sums, out + i, n - i);
  for (int j = 0; j < count; ++j) {
    load_end(values, Lanes{}, reinterpret_cast<const uint8_t*>(rows[j]) + i * (Lanes::kBytes / kLanes), n - i);
    for (int part = 0; part < kParts; ++part) sums.part[part] += values.part[part] * factors[j];
  }
  float some[kLanes];
  store(some, sums);
  std::memcpy(out + i, some, size_t(n - i) * sizeof(float));
}

template <typename Lanes>
[[gnu::noinline]] static void add_scaled_blocks(const std::byte* const* rows, const float* factors, int count, int n,
                                                float* out) {
  constexpr int kSteps = Lanes::kElements / kLanes;
  for (int block = 0; block < n / Lanes::kElements; ++block, out += Lanes::kElements) {
    F32x16 sums[kSteps], values;
#pragma GCC unroll 2
    for (int step = 0; step < kSteps; ++step) load(sums[step], out + step * kLanes);
    for (int j = 0; j < count; ++j) {
      const auto* from = reinterpret_cast<const uint8_t*>(rows[j]) + block * Lanes::kBytes;
      Lanes lanes;
      lanes.prepare(from);
#pragma GCC unroll 2
      for (int step = 0; step < kSteps; ++step) {
        lanes.load(values, from, step);
#pragma GCC unroll 4
        for (int part = 0; part < kParts; ++part) sums[step].part[part] += values.part[part] * factors[j];
      }
    }
#pragma GCC unroll 2
    for (int step = 0; step < kSteps; ++step) store(out + step * kLanes, sums[step]);
  }
}

static void add_scaled(Type type, const std::byte* const* rows, const float* factors, int count, int n, float* out) {
  if (type == Type::kF32) return add_scaled_of<F32Lanes>(rows, factors, count, n, out);
  if (type == Type::kF16) return add_scaled_of<F16Lanes>(rows, factors, count, n, out);
  if (type == Type::kQ8_0) return add_scaled_blocks<Q8_0Lanes>(rows, factors, count, n, out);
  if (type == Type::kQ4_1) return add_scaled_blocks<Q4_1Lanes>(rows, factors, count, n, out);
  return add_scaled_of<Bf16Lanes>(rows, factors, count, n, out);
}

}  // namespace kexa::KEXA_SET

#include "cpu/choice_vector.h"
#include "cpu/panel_integers.h"

namespace kexa::KEXA_SET {

constexpr PanelKernels kKernels = {multiply_panel, multiply_rounded_panel, read_elements, dot, add_scaled,
                                   exps,           next_possible};

}  // namespace kexa::KEXA_SET

#include "reference/matmul.h"

#include <algorithm>

#include "quant/dequantize.h"
#include "quant/lanes.h"

namespace kexa {
namespace {

// Columns converted to f32 at a time, whole blocks of every type: four rows of them fit the first-level cache beside
// the activations.
constexpr int kColumns = 512;

// Calls visit(Lanes{}) with the lanes of a type of blocks; false if it has none, because its codes are looked up in
// grids.
template <typename Visit>
KEXA_INLINE bool with_lanes(Type type, const Visit& visit) {
  switch (type) {
    case Type::kQ8_0:
      return visit(Q8_0Lanes{}), true;
    case Type::kQ4_0:
      return visit(Q4_0Lanes{}), true;
    case Type::kQ4_1:
      return visit(Q4_1Lanes{}), true;
    case Type::kQ5_0:
      return visit(Q5_0Lanes{}), true;
    case Type::kQ5_1:
      return visit(Q5_1Lanes{}), true;
    case Type::kQ2K:
      return visit(Q2KLanes{}), true;
    case Type::kQ3K:
      return visit(Q3KLanes{}), true;
    case Type::kQ4K:
      return visit(Q4KLanes{}), true;
    case Type::kQ5K:
      return visit(Q5KLanes{}), true;
    case Type::kQ6K:
      return visit(Q6KLanes{}), true;
    case Type::kIq4Nl:
      return visit(Iq4NlLanes{}), true;
    case Type::kIq4Xs:
      return visit(Iq4XsLanes{}), true;
    case Type::kMxfp4:
      return visit(Mxfp4Lanes{}), true;
    default:
      return false;
  }
}

template <typename Lanes>
KEXA_INLINE void convert_blocks(Lanes lanes, const std::byte* from, int n, float* out) {
  const auto* block = reinterpret_cast<const uint8_t*>(from);
  F32x16 values;
  for (int i = 0; i < n; i += Lanes::kElements, block += Lanes::kBytes) {
    lanes.prepare(block);
#pragma GCC unroll 16
    for (int step = 0; step < Lanes::kElements / kLanes; ++step)
      lanes.load(values, block, step), store(out + i + step * kLanes, values);
  }
}

KEXA_INLINE void convert(const std::byte* from, Type type, int n, float* out) {
  int i = 0;
  F32x16 lanes;
  if (type == Type::kBf16) {
    const auto* halves = reinterpret_cast<const uint16_t*>(from);
    for (; i + kLanes <= n; i += kLanes) load_bf16(lanes, halves + i), store(out + i, lanes);
    for (uint16_t bits; i < n; ++i) std::memcpy(&bits, from + i * 2, 2), out[i] = bf16_to_f32(bits);
  } else if (type == Type::kF16) {
    const auto* halves = reinterpret_cast<const uint16_t*>(from);
    for (; i + kLanes <= n; i += kLanes) load_f16(lanes, halves + i), store(out + i, lanes);
    for (uint16_t bits; i < n; ++i) std::memcpy(&bits, from + i * 2, 2), out[i] = f16_to_f32(bits);
  } else if (type == Type::kF32) {
    std::memcpy(out, from, size_t(n) * sizeof(float));
  } else if (!with_lanes(type, [&](auto lanes) KEXA_INLINE_CALL { convert_blocks(lanes, from, n, out); })) {
    dequantize(type, from, n, out);
  }
}

KEXA_INLINE void load_tail(F32x16& lanes, const float* from, int n) {
  lanes = F32x16{};
  std::memcpy(&lanes, from, size_t(n) * sizeof(float));
}

// Where a panel's weights come from: 16 of row o, from column k of the block on.
struct Converted {
  const float (*rows)[kColumns];
  KEXA_INLINE void operator()(F32x16& lanes, int o, int k) const { load(lanes, rows[o] + k); }
};
struct InBf16 {
  const std::byte* rows[kPanelOutputs];
  KEXA_INLINE void operator()(F32x16& lanes, int o, int k) const {
    load_bf16(lanes, reinterpret_cast<const uint16_t*>(rows[o]) + k);
  }
};
struct InF16 {
  const std::byte* rows[kPanelOutputs];
  KEXA_INLINE void operator()(F32x16& lanes, int o, int k) const {
    load_f16(lanes, reinterpret_cast<const uint16_t*>(rows[o]) + k);
  }
};
struct InF32 {
  const std::byte* rows[kPanelOutputs];
  KEXA_INLINE void operator()(F32x16& lanes, int o, int k) const {
    load(lanes, reinterpret_cast<const float*>(rows[o]) + k);
  }
};

// sums[o] += x * weights, n a multiple of kLanes. The same products in the same order, wherever the weights come from.
template <typename LoadWeights>
KEXA_INLINE void add_products(F32x16 (&sums)[kPanelOutputs], const float* x, int n, const LoadWeights& load_weights) {
  F32x16 s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3], a, w0, w1, w2, w3;
  for (int k = 0; k < n; k += kLanes) {
    load(a, x + k);
    load_weights(w0, 0, k), load_weights(w1, 1, k), load_weights(w2, 2, k), load_weights(w3, 3, k);
    s0 += a * w0, s1 += a * w1, s2 += a * w2, s3 += a * w3;
  }
  sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

// The same of n elements in blocks.
template <typename Lanes>
KEXA_INLINE void add_block_products(Lanes, F32x16 (&sums)[kPanelOutputs], const float* x, int n,
                                    const std::byte* const (&rows)[kPanelOutputs]) {
  F32x16 s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3], a, w0, w1, w2, w3;
  const auto* b0 = reinterpret_cast<const uint8_t*>(rows[0]);
  const auto* b1 = reinterpret_cast<const uint8_t*>(rows[1]);
  const auto* b2 = reinterpret_cast<const uint8_t*>(rows[2]);
  const auto* b3 = reinterpret_cast<const uint8_t*>(rows[3]);
  Lanes l0, l1, l2, l3;
  for (int k = 0; k < n; k += Lanes::kElements) {
    l0.prepare(b0), l1.prepare(b1), l2.prepare(b2), l3.prepare(b3);
#pragma GCC unroll 16
    for (int step = 0; step < Lanes::kElements / kLanes; ++step) {
      load(a, x + k + step * kLanes);
      l0.load(w0, b0, step), l1.load(w1, b1, step), l2.load(w2, b2, step), l3.load(w3, b3, step);
      s0 += a * w0, s1 += a * w1, s2 += a * w2, s3 += a * w3;
    }
    b0 += Lanes::kBytes, b1 += Lanes::kBytes, b2 += Lanes::kBytes, b3 += Lanes::kBytes;
  }
  sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

}  // namespace

KEXA_HOT void multiply_panel(const Matrix& weight, int first, int outputs, const float* const* x, int rows,
                             float* out) {
  // A short panel repeats its first row: one code path, hence one order of sums.
  const std::byte* source[kPanelOutputs];
  for (int o = 0; o < kPanelOutputs; ++o) source[o] = weight.row(first + (o < outputs ? o : 0));

  float converted[kPanelOutputs][kColumns];
  F32x16 sums[kPanelRows][kPanelOutputs];
  for (int r = 0; r < rows; ++r)
    for (int o = 0; o < kPanelOutputs; ++o) sums[r][o] = F32x16{};

  for (int start = 0; start < weight.columns; start += kColumns) {
    const int n = std::min(kColumns, weight.columns - start);
    const int whole = n / kLanes * kLanes;
    const int64_t offset = bytes_of(weight.type, start);
    if (rows == 1 && is_quantized(weight.type)) {
      const std::byte* in[kPanelOutputs] = {source[0] + offset, source[1] + offset, source[2] + offset,
                                            source[3] + offset};
      if (with_lanes(weight.type,
                     [&](auto lanes) KEXA_INLINE_CALL { add_block_products(lanes, sums[0], x[0] + start, n, in); }))
        continue;
    } else if (rows == 1 && whole == n) {
      // One row reads each weight once: storing it converted in between would cost more than the product.
      const std::byte* in[kPanelOutputs] = {source[0] + offset, source[1] + offset, source[2] + offset,
                                            source[3] + offset};
      if (weight.type == Type::kBf16) add_products(sums[0], x[0] + start, n, InBf16{{in[0], in[1], in[2], in[3]}});
      if (weight.type == Type::kF16) add_products(sums[0], x[0] + start, n, InF16{{in[0], in[1], in[2], in[3]}});
      if (weight.type == Type::kF32) add_products(sums[0], x[0] + start, n, InF32{{in[0], in[1], in[2], in[3]}});
      continue;
    }
    for (int o = 0; o < kPanelOutputs; ++o) read_elements(source[o] + offset, weight.type, n, converted[o]);
    for (int r = 0; r < rows; ++r) {
      add_products(sums[r], x[r] + start, whole, Converted{converted});
      if (whole == n) continue;
      F32x16 a, w;
      load_tail(a, x[r] + start + whole, n - whole);
      for (int o = 0; o < kPanelOutputs; ++o) load_tail(w, converted[o] + whole, n - whole), sums[r][o] += a * w;
    }
  }
  for (int o = 0; o < outputs; ++o)
    for (int r = 0; r < rows; ++r) out[o * kPanelRows + r] = sum_lanes(sums[r][o]);
}

int outputs_per_task(int columns) {
  constexpr int kWeightsPerTask = 65536;
  return std::clamp(kWeightsPerTask / std::max(1, columns), kPanelOutputs, 128) / kPanelOutputs * kPanelOutputs;
}

void multiply(ThreadPool& pool, const Matrix& weight, const float* x, int64_t x_stride, int rows, float* y,
              int64_t y_stride) {
  const int per_task = outputs_per_task(weight.columns);
  pool.run((weight.rows + per_task - 1) / per_task, [&](int task, int) {
    const int end = std::min(weight.rows, (task + 1) * per_task);
    float out[kPanelOutputs * kPanelRows];
    const float* row_of[kPanelRows];
    for (int first = task * per_task; first < end; first += kPanelOutputs) {
      const int outputs = std::min(kPanelOutputs, end - first);
      for (int start = 0; start < rows; start += kPanelRows) {
        const int count = std::min(kPanelRows, rows - start);
        for (int r = 0; r < count; ++r) row_of[r] = x + (start + r) * x_stride;
        multiply_panel(weight, first, outputs, row_of, count, out);
        for (int r = 0; r < count; ++r)
          for (int o = 0; o < outputs; ++o) y[(start + r) * y_stride + first + o] = out[o * kPanelRows + r];
      }
    }
  });
}

KEXA_HOT float dot(const float* a, const float* b, int n) {
  F32x16 sum{}, x, y;
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) load(x, a + i), load(y, b + i), sum += x * y;
  if (i < n) load_tail(x, a + i, n - i), load_tail(y, b + i, n - i), sum += x * y;
  return sum_lanes(sum);
}

KEXA_HOT void read_elements(const std::byte* from, Type type, int n, float* out) { convert(from, type, n, out); }

void read_row(const Matrix& matrix, int row, float* out) {
  read_elements(matrix.row(row), matrix.type, matrix.columns, out);
}

void write_elements(const float* from, Type type, int n, std::byte* out) {
  if (type == Type::kF32) {
    std::memcpy(out, from, size_t(n) * sizeof(float));
    return;
  }
  for (int i = 0; i < n; ++i) {
    const uint16_t bits = type == Type::kBf16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
    std::memcpy(out + i * 2, &bits, 2);
  }
}

}  // namespace kexa

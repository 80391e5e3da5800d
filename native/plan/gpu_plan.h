// Every buffer a model takes on a GPU, before any is made.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "plan/layout.h"

namespace kexa {

// Most rows of a small step: one of an answer's rows, computed by kernels for few rows. Steps of a prompt are large
// ones, however few rows they have, so that how a prompt is cut changes no bit of it.
constexpr int kSmallRows = 16;
// Fewest rows of a tile where a large step's rows are grouped by expert.
constexpr int kSmallestTile = 32;

// Row length in memory for `columns` values: rounded up to a multiple of 8, because kernels read chunks of 8.
constexpr int padded(int columns) { return (columns + 7) / 8 * 8; }
// Columns of an FP8 matrix that share a scale, and scales in a row.
constexpr int kScaleColumns = 128;
constexpr int scales_of_row(int columns) { return (columns + kScaleColumns - 1) / kScaleColumns; }
// Bytes of a row of weights: a multiple of 16, which is what a kernel reads at once.
constexpr int64_t gpu_row_bytes(Type type, int columns) {
  if (type == Type::kF8E4m3) return (padded(columns) + scales_of_row(columns) * 4 + 15) / 16 * 16;
  return is_quantized(type) ? (bytes_of(type, columns) + 15) / 16 * 16 : padded(columns) * element_bytes(type);
}
// The same in words of 16 bytes.
constexpr int gpu_row_words(Type type, int columns) { return int(gpu_row_bytes(type, columns) / 16); }

// Bytes of a head's row in the cache. A head is padded to whole chunks; one of blocks has all codes first and what
// belongs to each block after them, in whole words of four bytes.
constexpr int64_t gpu_cache_head_bytes(const KvLayout& kv) {
  const int blocks = kv.head_elements() / facts_of(kv.type).block_elements;
  if (kv.type == Type::kQ8_0) return int64_t(kv.head_elements()) + (blocks + 1) / 2 * 4;
  if (kv.type == Type::kQ4_1) return kv.head_elements() / 2 + blocks * 4;
  return padded(kv.head_dim) * element_bytes(kv.type);
}

// Bytes of the keys, and of the values, of `rows` rows of a layer's cache.
int64_t gpu_cache_bytes(const KvLayout& kv, int64_t rows);

// The step state, in words, as every kernel sees it.
constexpr int kStepRowCount = 0, kStepLogitCount = 1;
constexpr int kStepRows = 4;  // from here on four words a row: token, slot, position, next token
constexpr int kStepRowWords = 4;
constexpr int kStepLogitRows(int max_rows) { return kStepRows + max_rows * kStepRowWords; }

// Words that choosing keeps of a slot: its sequence, and how its tokens are chosen.
constexpr int kSequenceWords = 32, kSamplingWords = 16;

// Rows of a step whose logits are computed: those of 4,096 rows of K-EXAONE would take 2.5 GB. Where more are wanted,
// steps have no more rows than this.
inline int most_logit_rows(const ModelDescription& description, const PlanOptions& options) {
  constexpr int64_t kLogitBytes = 256 << 20;
  const int64_t rows = kLogitBytes / (int64_t{description.vocab} * 4);
  return int(std::min<int64_t>(options.prefill_chunk, std::max<int64_t>(kSmallRows, rows)));
}

// Outputs of the experts' down projections that a large step computes at once. All of them would take 800 MB with 4096
// rows of K-EXAONE; slices of columns, unlike slices of rows, leave every expert all of its rows and read each weight
// once.
// Where experts have slots it is all of them: experts that take their turns in the same slots would be copied again for
// each slice.
int expert_output_slice(int hidden, int rows, int top_k, bool has_slots);

struct GpuBuffer {
  std::string label;
  int64_t bytes = 0;  // a multiple of 16
};

// The working buffers, the cache's and those of choosing; the weights as one sum, since each matrix is a buffer or
// more.
struct GpuPlan {
  std::vector<GpuBuffer> work;
  // Keys and values of each layer: label_of_keys(), label_of_values(). Those of global layers begin smaller, and grow.
  std::vector<GpuBuffer> cache;
  int64_t weight_bytes = 0;

  // Throws KEXA_INTERNAL if none is called so: what is not planned must not be made.
  int64_t bytes_of(std::string_view label) const;
};

// Of a matrix on the GPU.
int64_t gpu_matrix_bytes(const TensorEntry& tensor, const PlanOptions& options);

// Of `work`, where the cache grows: a buffer that has been outgrown, until its rows are copied. Never made by itself.
inline constexpr const char* kOutgrownLabel = "outgrown cache";
std::string label_of_keys(int layer);
std::string label_of_values(int layer);

GpuPlan plan_gpu(const ModelDescription& description, const PlanOptions& options, const KvLayout& kv);

}  // namespace kexa

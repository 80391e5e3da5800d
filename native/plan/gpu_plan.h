// All buffers of a model on a GPU, planned before any is made.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "plan/layout.h"

namespace kexa {

// The fewest rows of a tile in large steps that group rows by expert.
constexpr int kSmallestTile = 32;

// Row length in memory for `columns` values: rounded up to a multiple of 8, because kernels read chunks of 8.
constexpr int padded(int columns) { return (columns + 7) / 8 * 8; }
// Columns of an FP8 matrix that share a scale on the GPU, and the number of scales in a row.
constexpr int kScaleColumns = 128;
constexpr int scales_of_row(int columns) { return (columns + kScaleColumns - 1) / kScaleColumns; }
// Bytes of a block on the GPU: those of the file, but for tq1_0, whose codes take the 2 bits of tq2_0's there.
constexpr int gpu_block_bytes(Type type) { return facts_of(type == Type::kTq1_0 ? Type::kTq2_0 : type).block_bytes; }
// Bytes of a row of weights: a multiple of 16, because kernels read 16 bytes at once.
constexpr int64_t gpu_row_bytes(Type type, int columns) {
  if (type == Type::kF8E4m3) return (padded(columns) + scales_of_row(columns) * 4 + 15) / 16 * 16;
  if (!is_quantized(type)) return padded(columns) * element_bytes(type);
  return (int64_t(columns / facts_of(type).block_elements) * gpu_block_bytes(type) + 15) / 16 * 16;
}
// The same length in words of 16 bytes.
constexpr int gpu_row_words(Type type, int columns) { return int(gpu_row_bytes(type, columns) / 16); }

// Bytes of a head in the cache. A head is padded to whole chunks. In a type with blocks it has all codes first, then
// the other fields of each block, in whole words of 4 bytes.
constexpr int64_t gpu_cache_head_bytes(const KvLayout& kv) {
  const int blocks = kv.head_elements() / facts_of(kv.type).block_elements;
  if (kv.type == Type::kQ8_0) return int64_t(kv.head_elements()) + (blocks + 1) / 2 * 4;
  if (kv.type == Type::kQ4_1) return kv.head_elements() / 2 + blocks * 4;
  return padded(kv.head_dim) * element_bytes(kv.type);
}

// Bytes of the keys, and also of the values, in `rows` rows of a layer's cache.
int64_t gpu_cache_bytes(const KvLayout& kv, int64_t rows);

// Words of the step state, which every kernel reads. Each has 4 bytes.
constexpr int kStepRowCount = 0, kStepLogitCount = 1;
// Where the list of logit rows begins: at logit_rows(), then for the MTP block at draft_rows() or in_order().
constexpr int kStepGathered = 2;
constexpr int kStepGroupCount = 3, kStepMtpRows = 4;
constexpr int kStepGroups = 8;  // the words of the first group
// Words of a group, as Group has them. Its logit rows are GROUP_LOGITS successive ones. GROUP_MASK is a row of the
// masks (see Choosing), or 0. GROUP_CHOICES is 0, or 1 and the number of alternatives.
constexpr int kGroupSlot = 0, kGroupFirstRow = 1, kGroupRows = 2, kGroupIsFollowing = 3, kGroupFirstLogit = 4,
              kGroupLogits = 5, kGroupDrafts = 6, kGroupMask = 7, kGroupChoices = 8, kStepGroupWords = 9;
constexpr int kRowToken = 0, kRowSlot = 1, kRowPosition = 2, kRowNext = 3, kStepRowWords = 4;

// The places in the step state that depend on the sizes of steps.
struct StepPlaces {
  int slots, max_rows;

  // [slots]: of each group that drafts, the row of its last choice.
  constexpr int draft_rows() const { return kStepGroups + slots * kStepGroupWords; }
  constexpr int in_order() const { return draft_rows() + slots; }  // [slots]: 0, 1, 2, ...
  constexpr int rows() const { return in_order() + slots; }        // the words of the first row
  constexpr int logit_rows() const { return rows() + max_rows * kStepRowWords; }
  constexpr int words() const { return logit_rows() + max_rows; }
};
inline StepPlaces step_places(const PlanOptions& options) { return {options.slots, options.prefill_chunk}; }

// Words of choosing for each slot: its sequence, and its sampling options.
constexpr int kSequenceWords = 32, kSamplingWords = 16;
// Words of a token's log-probability: the sum of probabilities in four words, the best logit, the token's own, and each
// alternative with its logit.
constexpr int kChoiceSum = 0, kChoiceBest = 4, kChoiceOwn = 5, kChoiceTop = 6,
              kChoiceWords = kChoiceTop + 2 * kMostAlternatives;

// The most rows of a step whose logits are computed. The logits of 4,096 rows of K-EXAONE would take 2.5 GB. A step
// that wants logits of all its rows has no more rows than this.
inline int most_logit_rows(const ModelDescription& description, const PlanOptions& options) {
  constexpr int64_t kLogitBytes = 256 << 20;
  const int64_t rows = kLogitBytes / (int64_t{description.vocab_size} * 4);
  return int(std::min<int64_t>(options.prefill_chunk, std::max<int64_t>(options.decode_rows(), rows)));
}

// Outputs of the experts' down projections that a large step computes at once. All of them would take 800 MB for 4,096
// rows of K-EXAONE. Slices of outputs leave every expert all of its rows, so each weight is read once.
// If experts have slots, it is all outputs: experts that share slots would be copied again for each slice.
int expert_output_slice(int hidden, int rows, int top_k, bool has_slots);

struct GpuBuffer {
  std::string label;
  int64_t bytes = 0;  // a multiple of 16
};

// The buffers: working buffers (those of choosing included) and the cache. Weights are one sum, because a matrix may
// take several buffers.
struct GpuPlan {
  std::vector<GpuBuffer> work;
  // Keys and values of each layer: label_of_keys(), label_of_values(). Buffers of global layers start smaller, and
  // grow.
  std::vector<GpuBuffer> cache;
  int64_t weight_bytes = 0;

  // Throws KEXA_INTERNAL if there is no such buffer, because unplanned buffers must not be made.
  int64_t bytes_of(std::string_view label) const;
};

// Bytes of a matrix on the GPU.
int64_t gpu_matrix_bytes(const TensorEntry& tensor, const PlanOptions& options);

// In `work` if the cache grows: an outgrown buffer, while its rows are copied. It is never made by itself.
inline constexpr const char* kOutgrownLabel = "outgrown cache";
// In `work`: rows of the cache on their way to other rows of the same buffer.
inline constexpr const char* kCacheCopyLabel = "copied cache rows";
std::string label_of_keys(int layer);
std::string label_of_values(int layer);

GpuPlan plan_gpu(const ModelDescription& description, const PlanOptions& options, const KvLayout& kv);

}  // namespace kexa

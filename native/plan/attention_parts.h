// How attention divides the keys of a row into parts, one for each workgroup.
#pragma once

#include <algorithm>

#include "plan/gpu_plan.h"

namespace kexa {

constexpr int kAttentionBlock = 64;    // keys that a team looks at together; also its threads
constexpr int kAttentionParts = 64;    // the most parts of a row's keys: 512 workgroups with eight KV heads
constexpr int kUndividedWindow = 256;  // for shorter windows the reduction's dispatch costs more than dividing saves

// The most parts of a layer's keys in small steps. Large steps do not divide keys.
inline int attention_parts(const ModelDescription& description, const PlanOptions& options, int layer) {
  const int window = description.layer(layer).window, context = options.context_size;
  if (window && window <= kUndividedWindow) return 1;
  return std::min<int>(kAttentionParts,
                       ((window ? std::min(window, context) : context) + kAttentionBlock - 1) / kAttentionBlock);
}

// Whether attention itself can write its result if keys are not divided. It writes four elements at a time.
inline bool is_attention_direct(const ModelDescription& description) { return description.head_dim % 4 == 0; }

// Floats of the parts of one row, for all heads. Each part has a weighted sum, a maximum and a sum of weights, in units
// of four.
inline int64_t attention_row_floats(const ModelDescription& description, int parts) {
  return int64_t(description.heads) * parts * (padded(description.head_dim) + 4);
}

// Floats that a layer's attention hands to attention_reduce in its largest step.
inline int64_t attention_partial_floats(const ModelDescription& description, const PlanOptions& options, int layer) {
  const bool is_direct = is_attention_direct(description);
  const int64_t rows = options.prefill_chunk, parts = attention_parts(description, options, layer);
  const int64_t few = options.decode_rows() * attention_row_floats(description, int(parts));
  return std::max(is_direct && parts == 1 ? 0 : few, is_direct ? 0 : rows * attention_row_floats(description, 1));
}

}  // namespace kexa

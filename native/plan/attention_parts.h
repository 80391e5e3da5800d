// How attention parts the keys of a row among workgroups.
#pragma once

#include <algorithm>

#include "plan/gpu_plan.h"

namespace kexa {

constexpr int kAttentionBlock = 64;    // keys a team looks at together; also a team's threads
constexpr int kAttentionParts = 64;    // most parts of a row's keys: 512 workgroups on eight KV heads
constexpr int kUndividedWindow = 256;  // up to here a dispatch for the reduction costs more than dividing saves

// Parts that a layer's keys may be divided into, in small steps. Large steps divide none.
inline int attention_parts(const ModelDescription& description, const PlanOptions& options, int layer) {
  const int window = description.layer(layer).window, context = options.context_size;
  if (window && window <= kUndividedWindow) return 1;
  return std::min<int>(kAttentionParts,
                       ((window ? std::min(window, context) : context) + kAttentionBlock - 1) / kAttentionBlock);
}

// Whether attention can write its result as it is wanted, where keys are not divided: in units of four elements.
inline bool is_attention_direct(const ModelDescription& description) { return description.head_dim % 4 == 0; }

// Floats of one row's parts, for all heads: of each its weighted sum, maximum and sum of weights, in units of four.
inline int64_t attention_row_floats(const ModelDescription& description, int parts) {
  return int64_t(description.heads) * parts * (padded(description.head_dim) + 4);
}

// Floats that a layer hands from attention to attention_reduce, in the largest of its steps.
inline int64_t attention_partial_floats(const ModelDescription& description, const PlanOptions& options, int layer) {
  const bool is_direct = is_attention_direct(description);
  const int64_t rows = options.prefill_chunk, parts = attention_parts(description, options, layer);
  const int64_t few = std::min<int64_t>(rows, kSmallRows) * attention_row_floats(description, int(parts));
  return std::max(is_direct && parts == 1 ? 0 : few, is_direct ? 0 : rows * attention_row_floats(description, 1));
}

}  // namespace kexa

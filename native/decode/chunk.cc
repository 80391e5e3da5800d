#include "decode/chunk.h"

#include <algorithm>

namespace kexa {

int bearable_rows(int first, int prefill_chunk) {
  return std::min(prefill_chunk, std::max(kLeastChunk, int(kMostPairs / (first + prefill_chunk))));
}

Row known_row(int slot, std::span<const int> ids, int position) {
  return {ids[position], slot, position, position + 1 < int(ids.size()) ? ids[position + 1] : 0};
}

int run_chunk(Device& device, const ModelDescription& description, KvSlots& slots, const Chunk& chunk, Step& step,
              const ForwardHooks& hooks) {
  const auto& [slot, ids, prefill_chunk, most_rows, is_prompt, choose_logit_rows] = chunk;
  const int first = slots.length(slot);
  const int bearable = bearable_rows(first, prefill_chunk),
            rows = most_rows > 0 ? std::min(bearable, most_rows) : bearable;
  const int end = std::min(int(ids.size()), first + rows);
  slots.reserve(slot, end);
  step.rows.clear();
  step.logit_rows.clear();
  step.groups.clear();
  step.is_prompt = is_prompt;
  step.is_wanted = hooks.is_wanted;
  for (int position = first; position < end; ++position) step.rows.push_back(known_row(slot, ids, position));
  choose_logit_rows(first, end, step.logit_rows);
  // Told before the step: should it be cut off half-way, the rows it has overwritten are known to be gone.
  slots.begin_write(slot, end);
  forward(device, description, step, slots, hooks);
  slots.end_write(slot, ids.subspan(first, end - first));
  return end - first;
}

}  // namespace kexa

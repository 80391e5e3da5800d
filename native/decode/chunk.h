// A step of the tokens of a sequence that are not cached yet.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "decode/forward.h"

namespace kexa {

// Which tokens of a sequence a step runs, and for which of them logits are wanted.
struct Chunk {
  int slot;                  // the sequence's
  std::span<const int> ids;  // all tokens of the sequence; the step begins with the first that is not cached
  int prefill_chunk;         // most rows of a step, as planned
  int most_rows = 0;         // a lower limit for this step; 0: none
  bool is_prompt = true;     // as Step has it
  // Called with the first position of the step and the one after its last. Adds the rows whose logits are wanted.
  std::function<void(int first, int end, std::vector<int>& logit_rows)> choose_logit_rows;
};

// The most rows of a prompt's step that begins at `first`, so that no step takes too long.
int bearable_rows(int first, int prefill_chunk);

// The row of a known token, with the token that follows it.
Row known_row(int slot, std::span<const int> ids, int position);

// Makes `step` of the chunk's tokens, each row with the token that follows it, and runs it through the model. Returns
// its rows.
int run_chunk(Device& device, const ModelDescription& description, KvSlots& slots, const Chunk& chunk, Step& step,
              const ForwardHooks& hooks);

}  // namespace kexa

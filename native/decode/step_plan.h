// Decides which rows of which sequences the next step has. No device and no clock: only numbers go in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "decode/step_costs.h"

namespace kexa {

// The rows that one sequence may have in the next step.
struct PlannedSequence {
  bool is_prompt = false;  // its next rows belong to the prompt; false: to the answer
  // Whether it may step now: its reader has room, it is not possibly over, and it has its mask if it needs one.
  bool can_step = false;
  // An answer that cannot step now, but will once the begun steps are taken. Prompts stay short for it too.
  bool steps_soon = false;
  // A prompt's rows that are not computed yet. An answer's known rows: 1 and the drafts made, or more if its tokens are
  // computed again.
  int rows_left = 1;
  int most_rows = 1;        // most rows that a step may have now, for example up to the next kept boundary
  int fewest_rows = 1;      // an answer's rows that cannot be left out; the rest are drafts
  uint64_t last_step = 0;   // number of the step that it was last in
  double draft_chance = 1;  // chance that its last draft is right
};

struct StepBudget {
  int most_rows = 1;           // of a prompt's step, or of a mixed one: prefillChunk
  int decode_rows = 1;         // of all answers together
  double target_ns = 50e6;     // what a prompt may make an answer wait
  bool mixes_prompts = false;  // prompts and answers share a step; false: they are two steps, one after the other
  int mtp_passes = 0;          // of the answers' step
};

struct PlannedRows {
  int sequence;  // index of the sequence
  int rows;
};

// Both in age order.
struct StepPlan {
  std::vector<PlannedRows> answers, prompts;
  bool is_empty() const { return answers.empty() && prompts.empty(); }
};

// The least prompt rows of a step, however slow they are, so that prompts always move.
constexpr int kLeastPromptRows = 16;

// Plans a step of `sequences`, the oldest first.
//
// Answers: all that can step. If they do not all fit, the oldest goes first, then the one that stepped longest ago.
// Drafts are cut before a sequence is left out, the least likely first.
//
// Prompts: as many rows as `target_ns` has time for beside the answers, at least kLeastPromptRows, or all of
// `most_rows` if nobody waits for an answer. Half of them (rounded up) go to the oldest prompt. The rest go to the
// prompt with the fewest rows left, then to the next.
//
// So the oldest sequence that can step has rows in every plan. `prompt_costs` are of a prompt's own step and matter
// only without `mixes_prompts`.
StepPlan plan_step(std::span<const PlannedSequence> sequences, const StepBudget& budget, const StepCosts& costs,
                   const StepCosts& prompt_costs);
inline StepPlan plan_step(std::span<const PlannedSequence> sequences, const StepBudget& budget,
                          const StepCosts& costs) {
  return plan_step(sequences, budget, costs, costs);
}

}  // namespace kexa

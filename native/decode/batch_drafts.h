// Decides which sequences of a batch draft, and how many tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "decode/acceptance.h"
#include "decode/step_costs.h"

namespace kexa {

// A sequence of the next steps.
struct DraftingSequence {
  uint64_t id = 0;
  int asked = -1;         // drafts that its request asks for; -1: as many as pay
  int most = kMaxDrafts;  // the most that it can have
  Chances chances{};      // of its drafts
};

// Maximises tokens per nanosecond of the whole batch. A step's drafts cost one pass of the MTP block for each place,
// whoever drafts, and one row for each draft. So sequences that draft have the same number of drafts, and a sequence
// whose drafts are likelier wrong than they are worth has none. If no drafts pay, the MTP block does not run.
//
// A choice stays for kHeldSteps steps, unless sequences come or go, because the costs of neighbouring choices differ by
// less than the noise of their times. Only the engine's thread uses it.
class BatchDrafts {
 public:
  static constexpr int kHeldSteps = 16;

  // The number of drafts of each sequence in the next step. To be called once for each step. `rows`: of a step without
  // drafts.
  std::vector<int> plan(std::span<const DraftingSequence> sequences, int rows, const StepCosts& costs);

 private:
  std::vector<int> choose(std::span<const DraftingSequence> sequences, int rows, const StepCosts& costs) const;

  std::vector<uint64_t> ids_;  // of the sequences that were chosen for
  std::vector<int> chosen_;
  int held_ = 0;  // steps that the choice was used for
};

}  // namespace kexa

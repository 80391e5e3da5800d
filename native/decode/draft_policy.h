// Decides how many drafts a step should have.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "decode/acceptance.h"
#include "plan/limits.h"

namespace kexa {

// Learns, over all answers of a model on its device, how often the draft at each place of a step is right and how long
// steps take. It maximises tokens per nanosecond. One more row costs little on a device that waits for its memory, and
// nearly a whole step on one that does not, so no fixed number suits all. Only the engine's thread uses it.
//
// If drafts lose time, they stop for the rest of the answer and for some answers after it, each time for more answers.
// The MTP block does not run then, so a plain answer costs no more than without the block.
class DraftPolicy {
 public:
  // `mtp_share` is the MTP block's share of the weights that a step with it reads. It gives the cost of a step without
  // the block before one was timed.
  explicit DraftPolicy(double mtp_share) : mtp_share_(mtp_share) {}

  // Whether the next answer should begin with drafts. To be called once for each answer.
  bool begin_answer();

  // Drafts for the next step, at most kMaxDrafts. Empty: drafts lose time, and should stop for this answer.
  std::optional<int> drafts();
  // To be called if an answer ends while it still drafts, so drafts paid.
  void end_answer() { rest_ = 1; }

  // Tells the time of a step of `drafts` + 1 rows. `has_mtp`: the MTP block ran in it.
  void took(int drafts, bool has_mtp, int64_t nanoseconds);
  // Tells that the first `accepted` of a step's drafts were right.
  void judged(int drafts, int accepted) { acceptance_.judged(drafts, accepted); }

  // Nanoseconds of a step without drafts. 0 while that is unknown.
  double plain_cost() const;

 private:
  // A running average. A sample far above it counts less, because the machine was probably busy with other work.
  struct Average {
    double value = 0, weight = 0;
    void add(double sample, double keep);
  };
  double cost(int drafts) const;

  double mtp_share_;
  std::array<Average, kMaxDrafts + 1> costs_;  // steps with the MTP block, indexed by drafts
  Average plain_;                              // steps without it
  Acceptance acceptance_;
  int rest_ = 1;     // answers to rest when drafting is next given up
  int resting_ = 0;  // answers still to rest
};

}  // namespace kexa

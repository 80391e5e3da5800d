// How many drafts a step is worth.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "plan/plan.h"

namespace kexa {

// Learns, over all answers of a model on its device, how often the draft at each place of a step is right and what
// steps cost, and weighs the one against the other: tokens per nanosecond. A row more costs little on a device that
// waits for its memory and nearly a whole step on one that does not, so no number suits all. Used by the engine thread
// alone.
//
// Where drafting loses it is given up for the answer, and for some answers after it, each time for more; the MTP block
// then does not run at all, so that a plain answer costs what it costs without the block.
class DraftPolicy {
 public:
  // `mtp_share` is the MTP block's share of the weights a step with it reads: what a step would cost without it can be
  // told before one was timed.
  explicit DraftPolicy(double mtp_share) : mtp_share_(mtp_share) {}

  // Whether the next answer should begin with drafts. Each call is an answer.
  bool begin_answer();

  // Drafts for the next step, at most kMaxDrafts. Nothing: drafting loses, and should end for this answer.
  std::optional<int> drafts();
  // The answer ended while it was still drafting: it paid.
  void end_answer() { rest_ = 1; }

  // A step of `drafts` + 1 rows took so long; `has_mtp` if the MTP block ran in it.
  void took(int drafts, bool has_mtp, int64_t nanoseconds);
  // The first `accepted` of a step's drafts were right.
  void judged(int drafts, int accepted);

  // What a step without drafts takes, in nanoseconds; 0 while that is not known.
  double plain_cost() const;

 private:
  // An average that forgets, less moved by a value far above it: a machine that was busy elsewhere.
  struct Average {
    double value = 0, weight = 0;
    void add(double sample, double keep);
  };
  double cost(int drafts) const;
  double tokens(int drafts) const;

  double mtp_share_;
  std::array<Average, kMaxDrafts + 1> costs_;  // of steps with the MTP block, by drafts
  Average plain_;                              // of steps without it
  std::array<Average, kMaxDrafts> right_;      // by place: of the drafts whose forerunners were right
  int rest_ = 1;                               // answers to rest when drafting is next given up
  int resting_ = 0;                            // answers still to rest
};

}  // namespace kexa

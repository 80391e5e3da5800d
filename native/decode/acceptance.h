// Learns how often drafts are right.
#pragma once

#include <array>

#include "plan/limits.h"

namespace kexa {

// The chance of the draft at each place of a step to be right if those before it are.
using Chances = std::array<double, kMaxDrafts>;

// Tokens that `drafts` drafts are expected to add to a step.
double expected_tokens(const Chances& chances, int drafts);

// How often the draft at each place of a step is right.
class Acceptance {
 public:
  // Tells that the first `accepted` of a step's drafts were right.
  void judged(int drafts, int accepted);
  // To be called for each answer that had no drafts, so that after some answers drafts are tried again: what was judged
  // long ago counts less and less beside the first guess.
  void rested();
  // Few judged drafts count little beside what is `expected`, for example the chances of all sequences together.
  Chances chances(const Chances& expected) const;
  // The same if nothing is expected. A place that was not judged is then as good as the one before it.
  Chances chances() const;

 private:
  struct Average {
    double value = 0, weight = 0;
  };
  std::array<Average, kMaxDrafts> right_;  // indexed by place; only drafts whose predecessors were right count
};

}  // namespace kexa

#include "decode/draft_policy.h"

#include <algorithm>

namespace kexa {
namespace {

constexpr double kKeepCost = 0.9;
// The assumed cost of a draft, as a part of a step's cost, before steps were timed. Too low a guess costs a few steps
// that try. With too high a guess no step would ever try.
constexpr double kGuessedSlope = 0.2;
// Smaller gains are within the noise of the times and do not count.
constexpr double kWorthwhile = 1.03;
constexpr int kLongestRest = 16;
constexpr int kTimedSteps = 3;

}  // namespace

void DraftPolicy::Average::add(double sample, double keep) {
  if (weight > kTimedSteps) sample = std::min(sample, 2 * value);
  weight = weight * keep + 1;
  value += (sample - value) / weight;
}

bool DraftPolicy::begin_answer() {
  if (resting_ == 0) return true;
  --resting_;
  return false;
}

void DraftPolicy::took(int drafts, bool has_mtp, int64_t nanoseconds) {
  (has_mtp ? costs_[drafts] : plain_).add(double(nanoseconds), kKeepCost);
}

double DraftPolicy::plain_cost() const {
  return plain_.weight > 0 ? plain_.value : costs_[0].weight > 0 ? costs_[0].value * (1 - mtp_share_) : 0;
}

// The cost of a step in nanoseconds. A step that was never timed is estimated from the nearest ones that were.
double DraftPolicy::cost(int drafts) const {
  if (costs_[drafts].weight >= kTimedSteps) return costs_[drafts].value;
  int below = drafts;
  while (below > 0 && costs_[below].weight < kTimedSteps) --below;
  const double base = below > 0 ? costs_[below].value : plain_cost() / (1 - mtp_share_);
  double slope = kGuessedSlope * plain_cost();
  if (below > 0) slope = (costs_[below].value - plain_cost()) / (below + mtp_share_);
  return base + slope * (drafts - below);
}

std::optional<int> DraftPolicy::drafts() {
  // Without anything to compare with, a step without drafts is timed first.
  if (plain_.weight == 0 && costs_[0].weight < kTimedSteps) return 0;
  const Chances chances = acceptance_.chances();
  int best = 0;
  double best_rate = kWorthwhile / plain_cost();
  int tried = 0;
  while (tried < kMaxDrafts && costs_[tried + 1].weight >= kTimedSteps) ++tried;
  for (int drafts = 1; drafts <= std::min(kMaxDrafts, tried + 1); ++drafts) {
    const double rate = (1 + expected_tokens(chances, drafts)) / cost(drafts);
    if (rate > best_rate) best = drafts, best_rate = rate;
  }
  if (best > 0) return best;
  resting_ = rest_;
  rest_ = std::min(kLongestRest, rest_ * 2);
  return std::nullopt;
}

}  // namespace kexa

#include "decode/batch_drafts.h"

#include <algorithm>

namespace kexa {
namespace {

// Smaller gains are within the noise of the times and do not count.
constexpr double kWorthwhile = 1.03;

}  // namespace

std::vector<int> BatchDrafts::plan(std::span<const DraftingSequence> sequences, int rows, const StepCosts& costs) {
  std::vector<uint64_t> ids;
  for (const DraftingSequence& sequence : sequences) ids.push_back(sequence.id);
  if (ids != ids_ || held_ >= kHeldSteps) {
    chosen_ = choose(sequences, rows, costs);
    ids_ = std::move(ids);
    held_ = 0;
  }
  ++held_;
  std::vector<int> drafts = chosen_;
  for (size_t i = 0; i < drafts.size(); ++i) drafts[i] = std::min(drafts[i], sequences[i].most);
  return drafts;
}

std::vector<int> BatchDrafts::choose(std::span<const DraftingSequence> sequences, int rows,
                                     const StepCosts& costs) const {
  std::vector<int> chosen(sequences.size());
  std::vector<size_t> free;  // indices of the sequences that draft only if it pays
  double tokens = double(sequences.size());
  int passes = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (sequences[i].asked < 0) {
      free.push_back(i);
      continue;
    }
    chosen[i] = std::min(sequences[i].asked, sequences[i].most);
    tokens += expected_tokens(sequences[i].chances, chosen[i]);
    rows += chosen[i], passes = std::max(passes, chosen[i]);
  }
  const double plain = costs.cost(rows, passes);
  if (plain <= 0) return chosen;

  double best_rate = kWorthwhile * tokens / plain;
  std::vector<int> best = chosen;
  for (int drafts = 1; drafts <= kMaxDrafts; ++drafts) {
    std::sort(free.begin(), free.end(), [&](size_t a, size_t b) {
      const double in_a = expected_tokens(sequences[a].chances, drafts);
      const double in_b = expected_tokens(sequences[b].chances, drafts);
      return in_a != in_b ? in_a > in_b : a < b;
    });
    std::vector<int> tried = chosen;
    double found = tokens;
    int needed = rows;
    for (const size_t i : free) {
      if (sequences[i].most < drafts) continue;
      tried[i] = drafts;
      found += expected_tokens(sequences[i].chances, drafts), needed += drafts;
      const double rate = found / costs.cost(needed, std::max(passes, drafts));
      if (rate > best_rate) best = tried, best_rate = rate;
    }
  }
  return best;
}

}  // namespace kexa

#include "decode/step_plan.h"

#include <algorithm>
#include <cmath>

namespace kexa {
namespace {

using Sequences = std::span<const PlannedSequence>;

// The indices of the sequences that can step, in age order.
std::vector<int> ready(Sequences sequences, bool is_prompt) {
  std::vector<int> found;
  for (int i = 0; i < int(sequences.size()); ++i) {
    const PlannedSequence& one = sequences[i];
    if (one.can_step && one.is_prompt == is_prompt && std::min(one.rows_left, one.most_rows) > 0) found.push_back(i);
  }
  return found;
}

int rows_of(const std::vector<PlannedRows>& planned) {
  int rows = 0;
  for (const PlannedRows& one : planned) rows += one.rows;
  return rows;
}

void sort_by_age(std::vector<PlannedRows>& planned) {
  std::sort(planned.begin(), planned.end(),
            [](const PlannedRows& a, const PlannedRows& b) { return a.sequence < b.sequence; });
}

// The chance that the last of `rows` rows is right. A draft needs the drafts before it to be right, so the chance falls
// with each place.
double chance_of_last(const PlannedSequence& sequence, int rows) {
  const int drafts = std::min(sequence.rows_left, sequence.most_rows) - sequence.fewest_rows;
  return std::pow(sequence.draft_chance, double(rows - sequence.fewest_rows) / std::max(1, drafts));
}

std::vector<PlannedRows> plan_answers(Sequences sequences, int most_rows) {
  std::vector<int> order = ready(sequences, false);
  int fewest = 0;
  for (const int i : order) fewest += sequences[i].fewest_rows;
  if (fewest > most_rows && !order.empty())
    std::stable_sort(order.begin() + 1, order.end(),
                     [&](int a, int b) { return sequences[a].last_step < sequences[b].last_step; });
  std::vector<PlannedRows> planned;
  int left = most_rows;
  for (const int i : order) {
    if (sequences[i].fewest_rows > left) break;
    planned.push_back({i, std::min(sequences[i].rows_left, sequences[i].most_rows)});
    left -= sequences[i].fewest_rows;
  }
  sort_by_age(planned);
  for (int rows = rows_of(planned); rows > most_rows; --rows) {
    // If chances are equal, the youngest loses its draft.
    PlannedRows* least = nullptr;
    double least_chance = 0;
    for (PlannedRows& one : planned) {
      const PlannedSequence& sequence = sequences[one.sequence];
      if (one.rows <= sequence.fewest_rows) continue;
      const double chance = chance_of_last(sequence, one.rows);
      if (!least || chance <= least_chance) least = &one, least_chance = chance;
    }
    --least->rows;
  }
  return planned;
}

std::vector<PlannedRows> plan_prompts(Sequences sequences, int most_rows) {
  std::vector<int> order = ready(sequences, true);
  std::vector<PlannedRows> planned;
  int left = most_rows;
  const auto give = [&](int sequence, int rows) {
    auto place =
        std::find_if(planned.begin(), planned.end(), [&](const PlannedRows& one) { return one.sequence == sequence; });
    const int has = place == planned.end() ? 0 : place->rows;
    rows = std::min({rows, left, sequences[sequence].rows_left - has, sequences[sequence].most_rows - has});
    if (rows <= 0) return;
    left -= rows;
    if (place == planned.end())
      planned.push_back({sequence, rows});
    else
      place->rows += rows;
  };
  if (order.empty()) return planned;
  give(order.front(), (most_rows + 1) / 2);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return sequences[a].rows_left < sequences[b].rows_left; });
  for (const int sequence : order) give(sequence, left);
  sort_by_age(planned);
  return planned;
}

// The most prompt rows beside `answer_rows` rows of answers that somebody waits for.
int timed_rows(const StepBudget& budget, int answer_rows, const StepCosts& costs, const StepCosts& prompt_costs) {
  const StepCosts& own = budget.mixes_prompts ? costs : prompt_costs;
  if (!costs.is_known() || !own.is_known()) return kLeastPromptRows;
  const double answers = answer_rows ? costs.cost(answer_rows, budget.mtp_passes) : 0;
  const double fixed = budget.mixes_prompts && answer_rows ? 0 : own.cost(0, 0);
  const double time = budget.target_ns - answers - fixed;
  if (time <= kLeastPromptRows * own.row_cost()) return kLeastPromptRows;
  return time >= budget.most_rows * own.row_cost() ? budget.most_rows : int(time / own.row_cost());
}

}  // namespace

StepPlan plan_step(std::span<const PlannedSequence> sequences, const StepBudget& budget, const StepCosts& costs,
                   const StepCosts& prompt_costs) {
  StepPlan plan;
  const std::vector<int> prompts = ready(sequences, true), answers = ready(sequences, false);
  int decode_rows = budget.decode_rows;
  if (budget.mixes_prompts) {
    // Rows that answers leave to prompts, at least one if the oldest sequence of all is a prompt.
    int kept = 0;
    if (!prompts.empty()) kept = std::min(kLeastPromptRows, budget.most_rows / 2);
    if (!prompts.empty() && (answers.empty() || prompts.front() < answers.front())) kept = std::max(kept, 1);
    decode_rows = std::min(decode_rows, budget.most_rows - kept);
  }
  plan.answers = plan_answers(sequences, decode_rows);
  const int answer_rows = rows_of(plan.answers);
  const bool is_waited_for =
      answer_rows > 0 || std::any_of(sequences.begin(), sequences.end(), [](const PlannedSequence& one) {
        return !one.is_prompt && (one.can_step || one.steps_soon);
      });
  int rows = budget.most_rows - (budget.mixes_prompts ? answer_rows : 0);
  if (is_waited_for) rows = std::min(rows, timed_rows(budget, answer_rows, costs, prompt_costs));
  plan.prompts = plan_prompts(sequences, rows);
  return plan;
}

}  // namespace kexa

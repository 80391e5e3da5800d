// SwiGLU over rows that share weights, for dense FFNs and for experts.
#pragma once

#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "cpu/matmul.h"
#include "model/weights.h"

namespace kexa {

// The rows of activations that share one set of FFN weights.
struct FfnGroup {
  const FfnWeights* weights = nullptr;
  std::vector<const float*> inputs;  // [hidden] each
  std::vector<float*> inner;         // [width] each: silu(gate) * up is written there
  // Both rounded to 16 bits; empty if rounding is off.
  std::vector<const RoundedBlock*> rounded_inputs;
  std::vector<RoundedBlock*> rounded_inner;
  std::vector<int> rows;      // their places among the step's rows
  std::vector<float> scales;  // factors of the group's output
};

// Makes a group for each chosen expert, in the order of their ids, and calls add(group, at) for each of its choices in
// ascending order. `chosen` [rows, top_k] are ids; -1 is no expert.
template <typename Add>
std::vector<FfnGroup> groups_by_expert(const std::vector<FfnWeights>& experts, std::span<const int> chosen,
                                       const Add& add) {
  std::vector<FfnGroup> by_expert(experts.size());
  for (size_t at = 0; at < chosen.size(); ++at) {
    if (chosen[at] < 0) continue;
    FfnGroup& group = by_expert[size_t(chosen[at])];
    group.weights = &experts[size_t(chosen[at])];
    add(group, at);
  }
  std::erase_if(by_expert, [](const FfnGroup& group) { return group.weights == nullptr; });
  return by_expert;
}

// branch[row] = the sum over the groups that have the row, in the order of `groups`, so it does not depend on other
// rows. Rows of `branch` are `stride` floats apart.
void run_groups(ThreadPool& pool, const std::vector<FfnGroup>& groups, float limit, float* branch, int rows, int hidden,
                int stride);

// to = gain * from / sqrt(mean(from^2) + epsilon)
void normalize(const float* from, const std::vector<float>& gain, float epsilon, float* to);

}  // namespace kexa

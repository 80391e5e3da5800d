// SwiGLU over rows that share weights: what the CPU device's FFNs and experts are made of.
#pragma once

#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "model/weights.h"
#include "cpu/matmul.h"

namespace kexa {

// Activation rows that share one set of FFN weights.
struct FfnGroup {
  const FfnWeights* weights = nullptr;
  std::vector<const float*> inputs;  // [hidden] each
  std::vector<float*> inner;         // [width] each: where silu(gate) * up goes
  // The same rounded, where that was asked for: else empty.
  std::vector<const RoundedBlock*> rounded_inputs;
  std::vector<RoundedBlock*> rounded_inner;
  std::vector<int> rows;      // of the step
  std::vector<float> scales;  // on the group's output
};

// A group for each expert that is chosen, in the order of their ids: add(group, at) for each of its choices, ascending.
// `chosen` are ids, [rows, top_k]; -1 is none.
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

// branch[row] = sum over the groups the row is in, in the order of `groups`: the same for a row whoever travels with
// it. Rows of `branch` are `stride` floats apart.
void run_groups(ThreadPool& pool, const std::vector<FfnGroup>& groups, float limit, float* branch, int rows, int hidden,
                int stride);

// to = gain * from / sqrt(mean(from^2) + epsilon)
void normalize(const float* from, const std::vector<float>& gain, float epsilon, float* to);

}  // namespace kexa

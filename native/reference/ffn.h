// SwiGLU over rows that share weights: what the CPU device's FFNs and experts are made of.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "model/weights.h"
#include "reference/matmul.h"

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

// branch[row] = sum over the groups the row is in, in the order of `groups`: the same for a row whoever travels with
// it. Rows of `branch` are `stride` floats apart.
void run_groups(ThreadPool& pool, const std::vector<FfnGroup>& groups, float limit, float* branch, int rows, int hidden,
                int stride);

// to = gain * from / sqrt(mean(from^2) + epsilon)
void normalize(const float* from, const std::vector<float>& gain, float epsilon, float* to);

}  // namespace kexa

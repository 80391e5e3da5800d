// Routed experts of a GPU's model, computed on the processor by the CPU device's loops.
#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"
#include "plan/host_experts.h"

namespace kexa {

class CpuExperts final : public HostExperts {
 public:
  // `description` and `weights` must outlive it, and the experts' weights must have data.
  CpuExperts(const ModelDescription& description, const Weights& weights, int threads)
      : description_(description), weights_(weights), pool_(threads) {
    pool_.demand(threads);
  }

  void run(int layer, std::span<const float> residual, int stride, std::span<const int> experts,
           std::span<const float> weights, std::span<float> out) override;

 private:
  const ModelDescription& description_;
  const Weights& weights_;
  ThreadPool pool_;
  std::vector<float> normed_, inner_;
};

}  // namespace kexa

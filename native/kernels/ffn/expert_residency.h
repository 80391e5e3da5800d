// Runs layers whose routed experts are not all on the GPU: loads experts into slots, or has the processor compute them.
#pragma once

#include <memory>

#include "base/thread_pool.h"
#include "cache/expert_slots.h"
#include "kernels/buffers/activations.h"
#include "kernels/ffn/ffn.h"

namespace kexa {

class ExpertResidency {
 public:
  // References to the parts that it works with. All must outlive it.
  struct Sources {
    KernelSet& kernels;
    const ModelDescription& description;
    const Weights& weights;  // in main memory
    const GpuWeights& gpu_weights;
    const Activations& activations;
    const Plan& plan;  // read by the constructor alone
  };
  // `host` computes experts that are not copied; null: all are copied. `slots` must outlive it. With
  // ExpertMisses::kAuto it times both ways.
  ExpertResidency(const Sources& from, ExpertSlots& slots, std::unique_ptr<HostExperts> host);

  // Device::experts, after Device::route. Waits for the route.
  void run(const KernelSet& kernels, const Ffn& ffn, int layer, const StepRows& rows);

  const ExpertTraffic& traffic() const { return traffic_; }

 private:
  void load(int layer, const ExpertSlots::Load& load);
  // Copies a matrix into a slot of `to`, `at` bytes after the slot's start. Returns the bytes it takes there.
  int64_t load_matrix(const Matrix& from, const GpuExperts& to, int slot, int64_t at = 0);
  void measure_costs(int layer);

  Gpu& gpu_;
  const ModelDescription& description_;
  const Weights& weights_;
  const GpuWeights& gpu_weights_;
  const Activations& activations_;
  int stride_, top_k_;
  ExpertSlots& slots_;
  std::unique_ptr<HostExperts> host_;
  ThreadPool pool_;
  BoundKernel add_;
  ExpertTraffic traffic_;
  bool has_dots_;
  std::vector<std::byte> made_;
  std::vector<uint32_t> handover_;
  std::vector<float> outputs_;
};

}  // namespace kexa

// The feed-forward part in large steps: rows are gathered by expert and multiplied in tiles.
#pragma once

#include "kernels/matmul/tile.h"

namespace kexa {

// Declares is_on_host() and is_in_other_wave(), with which a kernel recognises slots that are not its to compute. With
// `has_slots` false all experts are resident, the buffer holds expert ids, and both are constant false.
Prelude& set_slots(Prelude& prelude, bool has_slots);

class FfnTiled {
 public:
  FfnTiled() = default;
  // `route` has the constants of route.wgsl except HAS_LOGITS. A dense layer does not use it.
  FfnTiled(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int layer,
           const GpuWeights& weights, const Activations& activations, const Prelude& route);

  // Device::route.
  void run_route(const KernelSet& kernels, int rows) const;
  // Device::experts, after run_route(), or Device::dense_ffn; or one wave of several. The last wave leaves the sum in
  // the buffer that swiglu_output would use.
  void run_wave(const KernelSet& kernels, int rows, bool is_last) const;

 private:
  struct Slice {
    BoundKernel product, sum;
  };

  bool is_moe_ = false;
  int top_k_ = 0, experts_ = 0, routed_tile_ = 0;  // experts that have a place on the GPU
  BoundKernel norm_, router_, route_, group_;
  BoundKernel shared_input_, shared_output_, routed_input_;
  std::vector<Slice> routed_output_;
};

}  // namespace kexa

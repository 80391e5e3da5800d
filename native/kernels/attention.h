// A layer's attention, up to the output projection.
#pragma once

#include "kernels/matmul.h"

namespace kexa {

class Attention {
 public:
  Attention(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int layer,
            const GpuWeights& weights, const Activations& activations);

  // Device::attention_input.
  void run_input(const KernelSet& kernels, int rows) const;
  // Device::attention. `longest` is the most keys a row of the step may see, were there no window.
  void run(const KernelSet& kernels, int rows, int longest) const;

 private:
  int window_;
  Buffer keys_, values_;
  Matmul qkv_;
  Op heads_, attend_few_, reduce_few_, attend_many_, reduce_many_;
};

}  // namespace kexa

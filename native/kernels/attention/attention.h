// A layer's attention, up to the output projection.
#pragma once

#include "kernels/matmul/matmul.h"

namespace kexa {

class Attention {
 public:
  Attention(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int layer,
            const GpuWeights& weights, const Activations& activations);

  // Device::attention_input.
  void run_input(const KernelSet& kernels, const StepRows& rows) const;
  // Device::attention. `longest` is at least the keys that any row of the step may see, were there no window.
  void run(const KernelSet& kernels, const StepRows& rows, int longest) const;

  // Makes keys and values of a global layer that are smaller than `bytes` as large, one after the other, and keeps what
  // they hold. Waits. Throws KEXA_OUT_OF_MEMORY; what has not grown then is as it was.
  void grow(Gpu& gpu, int64_t bytes);

  const Buffer& keys() const { return keys_; }
  const Buffer& values() const { return values_; }

 private:
  friend struct DeviceProbe;  // native/checks
  // The attention of one size of step. `reduce` is empty where `attend` writes the result itself.
  struct Size {
    int parts = 1;
    BoundKernel attend, reduce;
  };

  std::vector<Binding> input_bindings() const;
  std::vector<Binding> attend_bindings(bool is_direct) const;
  void bind(Gpu& gpu);

  int index_, window_;
  const Buffer* head_norms_;
  const Activations* activations_;
  Buffer keys_, values_;
  std::vector<Matmul> qkv_;
  BoundKernel heads_;
  Size for_one_row_, for_few_rows_,
      for_many_rows_;  // for one row of a small step, for more of them, and for large steps
};

}  // namespace kexa

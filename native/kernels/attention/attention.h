// The attention of one layer, up to the output projection.
#pragma once

#include "kernels/matmul/matmul.h"

namespace kexa {

class Attention {
 public:
  Attention(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int layer,
            const GpuWeights& weights, const Activations& activations);

  // Device::attention_input.
  void run_input(const KernelSet& kernels, const StepRows& rows) const;
  // Device::attention. `longest` is the most keys that a row of the step would see without a window, or more.
  void run(const KernelSet& kernels, const StepRows& rows, int longest) const;

  // Makes the keys and values of a global layer `bytes` large if they are smaller, one after the other, and keeps their
  // contents. Waits. Throws KEXA_OUT_OF_MEMORY; a buffer that has not grown then is unchanged.
  void grow(Gpu& gpu, int64_t bytes);

  const Buffer& keys() const { return keys_; }
  const Buffer& values() const { return values_; }

 private:
  friend struct DeviceProbe;  // native/checks
  // The kernels for one size of step. `reduce` is empty if `attend` writes the result itself.
  struct Size {
    int parts = 1;
    BoundKernel attend, reduce;
  };

  struct SizeOptions {
    int parts;
    int team_rows;  // rows of a team
    int teams;      // most teams of a workgroup
    int rows;       // most rows of a step
  };
  struct Sources;

  void make_cache(const Sources& from, const GpuPlan& plan);
  void make_products(const Sources& from, const GpuLayer& weights);
  void make_heads(const Sources& from);
  Size make_size(const Sources& from, std::string_view op, const SizeOptions& options) const;
  BoundKernel make_reduce(const Sources& from, int parts) const;

  std::vector<Binding> input_bindings() const;
  std::vector<Binding> attend_bindings(bool is_direct) const;
  void bind(Gpu& gpu);

  int index_, window_;
  const Buffer* head_norms_;
  const Activations* activations_;
  Buffer keys_, values_;
  std::vector<Matmul> qkv_;
  BoundKernel heads_;
  // For one row of a small step, for more rows of one, and for large steps.
  Size for_one_row_, for_few_rows_, for_many_rows_;
};

}  // namespace kexa

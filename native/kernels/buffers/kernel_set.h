// Kernels made for one device, and kernels joined with their buffers.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "gpu/gpu.h"
#include "kernels/source/kernel_source.h"
#include "plan/gpu_plan.h"

namespace kexa {

constexpr uint32_t ceil_div(int64_t n, int64_t by) { return uint32_t((n + by - 1) / by); }

// A kernel with its buffers: all that is left to say when it is run is how many rows there are.
struct BoundKernel {
  Kernel* kernel = nullptr;
  BindGroup group;
  uint32_t workgroups = 0;  // along x
  int rows_per_workgroup = 1;
  // Rows along x and workgroups along y: workgroups that read the same weights run next to each other.
  bool has_rows_first = false;

  explicit operator bool() const { return kernel != nullptr; }
};

// How subgroup matrices (tensor cores) multiply: [m, k] of f16 times [k, n] of f16, added up in f32.
struct MatrixKernels {
  int m = 16, n = 16, k = 16;
  int threads = 128;  // of a workgroup: a multiple of the largest subgroup, with at least four subgroups
};

// Which of the ways to write a kernel this device is given.
struct KernelChoice {
  // Whether `op` of Device (PlanOptions::plain_ops) may use subgroups. An op is written one way for all small steps, so
  // that a row's bits do not depend on its company.
  bool has_subgroups_in(std::string_view op) const {
    return has_subgroups && std::find(plain_ops.begin(), plain_ops.end(), op) == plain_ops.end();
  }

  bool has_f16_elements = false;  // activations between ops are f16; sums, the residual stream and logits stay f32
  bool has_subgroups = false;
  std::optional<MatrixKernels> matrices;  // for products of large steps
  std::vector<std::string> plain_ops{};
};

// The configuration of f16 matrices with f32 sums that kernels are compiled for, if the GPU has one.
std::optional<MatrixKernels> matrices_of(const AdapterFacts& facts);

// The rows of a step, and which of the two kinds of kernels compute them: those of large steps are made for the rows of
// prompts, those of small steps for a few rows of an answer. The two add up in different orders. In either kind a row's
// bits do not depend on how many rows there are.
struct StepRows {
  int count = 0;
  bool is_large = false;
};

// Compiles each kernel once for each set of constants.
class KernelSet {
 public:
  KernelSet(Gpu& gpu, const KernelChoice& choice, int max_rows) : gpu_(gpu), choice_(choice), max_rows_(max_rows) {}

  Gpu& gpu() const { return gpu_; }
  const KernelChoice& choice() const { return choice_; }
  // Most rows of a step.
  int max_rows() const { return max_rows_; }
  // Bytes of an activation between ops.
  int element_bytes() const { return choice_.has_f16_elements ? 2 : 4; }

  // What every kernel knows: the step state's places, the element type E, and who it is (Invocation). `op`: which one
  // of Device it is part of, where that may be tuned.
  Prelude prelude(std::string_view op = {}) const;

  // The same for a kernel that reads rows of `units` units (weight_units.h) with a whole workgroup and adds up with
  // workgroup_sums(): THREADS as well, which depends on `units` alone.
  Prelude prelude_of_sums(int units, std::string_view op = {}) const;

  // The op of NAME.wgsl under `prelude`. Throws KEXA_INTERNAL with Dawn's message.
  BoundKernel make(const std::string& name, const Prelude& prelude, const std::vector<Binding>& bindings,
                   uint32_t workgroups, int rows_per_workgroup = 1);
  // The same with rows along x.
  BoundKernel make_rows_first(const std::string& name, const Prelude& prelude, const std::vector<Binding>& bindings,
                              uint32_t workgroups, int rows_per_workgroup = 1);

  void run(const BoundKernel& bound, int rows, uint32_t parts = 1) const {
    const uint32_t along_rows = ceil_div(rows, bound.rows_per_workgroup);
    if (bound.has_rows_first)
      gpu_.dispatch(*bound.kernel, bound.group, along_rows, bound.workgroups, parts);
    else
      gpu_.dispatch(*bound.kernel, bound.group, bound.workgroups, along_rows, parts);
  }

 private:
  Gpu& gpu_;
  KernelChoice choice_;
  int max_rows_;
  std::map<std::string, Kernel> kernels_;  // by name and text
};

}  // namespace kexa

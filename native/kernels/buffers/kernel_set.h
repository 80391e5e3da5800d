// Compiles the kernels of one device, and joins kernels with their buffers.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "gpu/gpu.h"
#include "kernels/source/kernel_source.h"
#include "plan/gpu_plan.h"

namespace kexa {

constexpr uint32_t ceil_div(int64_t n, int64_t by) { return uint32_t((n + by - 1) / by); }

// A kernel with its buffers. To run it, only the number of rows is missing.
struct BoundKernel {
  Kernel* kernel = nullptr;
  BindGroup group;
  uint32_t workgroups = 0;  // along x
  int rows_per_workgroup = 1;
  // True: rows along x and workgroups along y. Then workgroups that read the same weights run next to each other.
  bool has_rows_first = false;

  explicit operator bool() const { return kernel != nullptr; }
};

// How subgroup matrices (tensor cores) multiply: f16 [m, k] times f16 [k, n], with sums in f32.
struct MatrixKernels {
  int m = 16, n = 16, k = 16;
  int threads = 128;  // of a workgroup: a multiple of the largest subgroup size, and at least four subgroups
};

// The variants of kernels that this device uses.
struct KernelChoice {
  // Whether an `op` of Device may use subgroups (see PlanOptions::plain_ops). An op has the same variant in all small
  // steps, so that a row's bits do not depend on the number of rows.
  bool has_subgroups_in(std::string_view op) const {
    return has_subgroups && std::find(plain_ops.begin(), plain_ops.end(), op) == plain_ops.end();
  }

  bool has_f16_elements = false;  // activations between ops are f16; sums, the residual and logits stay f32
  bool has_subgroups = false;
  // Whether small steps multiply in whole numbers where the weights' type takes them (PlanOptions::is_rounding).
  bool has_dots = false;
  std::optional<MatrixKernels> matrices;  // for products of large steps, if used
  std::vector<std::string> plain_ops{};
};

// The configuration of f16 matrices with f32 sums that kernels are compiled for. Empty if the GPU has none.
std::optional<MatrixKernels> matrices_of(const AdapterFacts& facts);

// The rows of a step and the kind of kernels that compute them. Kernels of large steps are made for the rows of
// prompts, kernels of small steps for the few rows of an answer. The two add in different orders. In either kind a
// row's bits do not depend on the number of rows.
struct StepRows {
  int count = 0;
  bool is_large = false;
};

// Compiles each kernel once for each set of constants.
class KernelSet {
 public:
  KernelSet(Gpu& gpu, const KernelChoice& choice, const StepPlaces& places)
      : gpu_(gpu), choice_(choice), places_(places), empty_buffer_(gpu.create_buffer("empty", 16, true)) {}

  Gpu& gpu() const { return gpu_; }
  const KernelChoice& choice() const { return choice_; }
  // Most rows of a step.
  int max_rows() const { return places_.max_rows; }
  const StepPlaces& places() const { return places_; }
  // Bound where a kernel has a binding that it does not read.
  const Buffer& empty_buffer() const { return empty_buffer_; }
  // Bytes of an activation between ops.
  int element_bytes() const { return choice_.has_f16_elements ? 2 : 4; }

  // The prelude of every kernel: the places in the step state, the element type E, and Invocation. `op` is the op of
  // Device that the kernel belongs to, if tuning may choose its variant.
  Prelude prelude(std::string_view op = {}) const;

  // The prelude of a kernel whose whole workgroup reads rows of `units` units (weight_units.h) and adds with
  // workgroup_sums(). It also has THREADS, which depends on `units` alone.
  Prelude prelude_of_sums(int units, std::string_view op = {}) const;

  // The whole text that a kernel of this set was compiled from. Throws KEXA_INTERNAL if it is of another set.
  std::string_view text_of(const Kernel& kernel) const;

  // The prelude of a kernel whose teams of threads own outputs and add with team_sum(), and that reads planes. It also
  // has THREADS and LANES.
  Prelude prelude_of_teams(std::string_view op = {}) const;
  // The teams of such a kernel's workgroup.
  int teams() const;

  // Makes the kernel NAME.wgsl under `prelude`. Throws KEXA_INTERNAL with Dawn's message.
  BoundKernel make(const std::string& name, const Prelude& prelude, const std::vector<Binding>& bindings,
                   uint32_t workgroups, int rows_per_workgroup = 1);
  // Makes it with rows along x.
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
  // The threads of a team: a subgroup, if all subgroups have one size.
  int team_lanes() const;

  Gpu& gpu_;
  KernelChoice choice_;
  StepPlaces places_;
  Buffer empty_buffer_;
  std::map<std::string, Kernel> kernels_;  // by name and text
};

}  // namespace kexa

#include "kernels/buffers/kernel_set.h"

#include "device/ops.h"

namespace kexa {

std::optional<MatrixKernels> matrices_of(const AdapterFacts& facts) {
  // The Null backend lists no configurations, though it accepts any, and its largest subgroups are larger than any
  // GPU's. It stands in for NVIDIA.
  if (facts.backend == "null") return MatrixKernels{};
  const int threads = int(4 * facts.subgroup_max);
  if (threads == 0 || uint32_t(threads) > std::min(facts.max_invocations, facts.max_workgroup_size_x)) return {};
  const auto is_usable = [](const MatrixShape& shape) {
    const auto is_size = [](uint32_t size) { return size == 8 || size == 16; };
    return shape.component == "f16" && shape.result == "f32" && is_size(shape.m) && is_size(shape.n) &&
           is_size(shape.k);
  };
  const auto size = [](const MatrixShape& shape) { return shape.m * shape.n * shape.k; };
  const MatrixShape* best = nullptr;
  for (const MatrixShape& shape : facts.matrix_shapes)
    if (is_usable(shape) && (!best || size(shape) > size(*best))) best = &shape;
  if (!best) return {};
  return MatrixKernels{.m = int(best->m), .n = int(best->n), .k = int(best->k), .threads = threads};
}

Prelude KernelSet::prelude(std::string_view op) const {
  Prelude prelude;
  // A misspelled name would escape tuning.
  if (!op.empty()) op_named(op.ends_with(kLargeSuffix) ? op.substr(0, op.size() - kLargeSuffix.size()) : op);
  const bool has_subgroups = choice_.has_subgroups_in(op);
  prelude.dots(choice_.has_dots).elements(choice_.has_f16_elements).set("HAS_SUBGROUPS", has_subgroups);
  if (has_subgroups) prelude.enable("subgroups");
  prelude.set("STEP_ROW_COUNT", kStepRowCount).set("STEP_LOGIT_COUNT", kStepLogitCount);
  prelude.set("STEP_GATHERED", kStepGathered).set("LOWEST", -3.0e38f);
  // The words of a row in the step state are step[step_row(row) + ROW_TOKEN] and so on.
  prelude.set("ROW_TOKEN", kRowToken).set("ROW_SLOT", kRowSlot).set("ROW_POSITION", kRowPosition);
  prelude.set("ROW_NEXT", kRowNext).set("STEP_ROWS", places_.rows()).set("STEP_ROW_WORDS", kStepRowWords);
  prelude.declare("fn step_row(row: u32) -> u32 { return STEP_ROWS + row * STEP_ROW_WORDS; }\n");
  // Subgroup builtins may be named only if they are enabled.
  prelude.declare(std::string("struct Invocation {\n"
                              "  @builtin(workgroup_id) group: vec3u,\n"
                              "  @builtin(local_invocation_index) thread: u32,\n") +
                  (has_subgroups ? "  @builtin(subgroup_invocation_id) lane: u32,\n"
                                   "  @builtin(subgroup_size) subgroup_size: u32,\n}\n"
                                 : "}\n"));
  // fma() leaves a GPU's compiler no choice of rounding. A software GPU may need a hundred times as long for it as for
  // a product and a sum, which it has no reason to fuse.
  const bool is_fused = !gpu_.facts().is_software;
  for (const auto& [name, type] : {std::pair{"multiply_add", "f32"}, {"multiply_add4", "vec4f"}}) {
    const std::string t = type;
    prelude.declare("fn " + std::string(name) + "(a: " + t + ", b: " + t + ", c: " + t + ") -> " + t + " { return " +
                    (is_fused ? "fma(a, b, c)" : "a * b + c") + "; }\n");
  }
  return prelude;
}

Prelude KernelSet::prelude_of_sums(int units, std::string_view op) const {
  const bool has_subgroups = choice_.has_subgroups_in(op);
  // Each thread should read several units. Without subgroups, every thread's sums take workgroup memory, so fewer
  // threads.
  uint32_t threads = units <= 32 ? 32 : units < 384 || !has_subgroups ? 64 : 128;
  // Fewer threads if more than an eighth of their turns would read nothing.
  const auto turns = [&] { return ceil_div(units, threads) * threads; };
  while (threads > 32 && turns() > uint32_t(units) * 9 / 8) threads /= 2;
  Prelude to = prelude(op);
  to.set("THREADS", threads).include(has_subgroups ? "workgroup_sums_subgroups" : "workgroup_sums");
  return to;
}

constexpr int kTeamThreads = 128;  // of a workgroup of teams
constexpr int kPlainLanes = 32;    // of a team that is not a subgroup

int KernelSet::team_lanes() const {
  const AdapterFacts& facts = gpu_.facts();
  const bool is_subgroup = facts.subgroup_min == facts.subgroup_max && facts.subgroup_min >= 4 &&
                           facts.subgroup_max <= uint32_t(kTeamThreads);
  return is_subgroup ? int(facts.subgroup_min) : kPlainLanes;
}

int KernelSet::teams() const { return kTeamThreads / team_lanes(); }

Prelude KernelSet::prelude_of_teams(std::string_view op) const {
  const bool has_subgroups = choice_.has_subgroups_in(op) && uint32_t(team_lanes()) == gpu_.facts().subgroup_min;
  Prelude to = prelude(op);
  to.require("packed_4x8_integer_dot_product");
  to.set("THREADS", kTeamThreads).set("LANES", team_lanes());
  to.include(has_subgroups ? "team_sum_subgroups" : "team_sum");
  return to;
}

std::string_view KernelSet::text_of(const Kernel& kernel) const {
  for (const auto& [key, own] : kernels_)
    if (&own == &kernel) return std::string_view(key).substr(kernel.name.size() + 1);
  throw Error("KEXA_INTERNAL", "the kernel " + kernel.name + " is not of this set");
}

BoundKernel KernelSet::make(const std::string& name, const Prelude& prelude, const std::vector<Binding>& bindings,
                            uint32_t workgroups, int rows_per_workgroup) {
  const std::string text = prelude.text() + std::string(kernel_source(name));
  const std::string key = name + "\n" + text;
  auto found = kernels_.find(key);
  if (found == kernels_.end()) {
    bool access[16];
    for (size_t i = 0; i < bindings.size(); ++i) access[i] = bindings[i].is_written;
    found = kernels_.emplace(key, gpu_.create_kernel(name, text, {access, bindings.size()})).first;
  }
  return {.kernel = &found->second,
          .group = gpu_.bind(found->second, bindings),
          .workgroups = workgroups,
          .rows_per_workgroup = rows_per_workgroup};
}

BoundKernel KernelSet::make_rows_first(const std::string& name, const Prelude& prelude,
                                       const std::vector<Binding>& bindings, uint32_t workgroups,
                                       int rows_per_workgroup) {
  BoundKernel bound = make(name, prelude, bindings, workgroups, rows_per_workgroup);
  bound.has_rows_first = true;
  return bound;
}

}  // namespace kexa

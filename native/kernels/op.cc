#include "kernels/op.h"

namespace kexa {

Prelude KernelSet::prelude() const {
  Prelude prelude;
  prelude.elements(choice_.has_f16_elements).set("HAS_SUBGROUPS", choice_.has_subgroups);
  if (choice_.has_subgroups) prelude.enable("subgroups");
  prelude.set("STEP_ROW_COUNT", kStepRowCount).set("STEP_LOGIT_COUNT", kStepLogitCount).set("STEP_ROWS", kStepRows);
  prelude.set("STEP_LOGIT_ROWS", kStepLogitRows(max_rows_)).set("LOWEST", -3.0e38f);
  // Subgroup builtins may be named only where they are enabled.
  prelude.declare(std::string("struct Invocation {\n"
                              "  @builtin(workgroup_id) group: vec3u,\n"
                              "  @builtin(local_invocation_index) thread: u32,\n") +
                  (choice_.has_subgroups ? "  @builtin(subgroup_invocation_id) lane: u32,\n"
                                           "  @builtin(subgroup_size) subgroup_size: u32,\n}\n"
                                         : "}\n"));
  // On a GPU fma() leaves the compiler no choice of how to round. A processor that plays a GPU may take a hundred times
  // as long for it as for a product and a sum, which it has no reason to fuse.
  const bool is_fused = !gpu_.facts().is_software;
  for (const auto& [name, type] : {std::pair{"multiply_add", "f32"}, {"multiply_add4", "vec4f"}}) {
    const std::string t = type;
    prelude.declare("fn " + std::string(name) + "(a: " + t + ", b: " + t + ", c: " + t + ") -> " + t + " { return " +
                    (is_fused ? "fma(a, b, c)" : "a * b + c") + "; }\n");
  }
  return prelude;
}

Prelude KernelSet::prelude_of_sums(int chunks) const {
  // A thread should have several chunks to read, and without subgroups every thread's sums take workgroup memory.
  const uint32_t threads = chunks <= 32 ? 32 : chunks < 384 || !choice_.has_subgroups ? 64 : 128;
  Prelude to = prelude();
  to.set("THREADS", threads).include(choice_.has_subgroups ? "workgroup_sums_subgroups" : "workgroup_sums");
  return to;
}

Op KernelSet::make(const std::string& name, const Prelude& prelude, const std::vector<Binding>& bindings,
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

Op KernelSet::make_rows_first(const std::string& name, const Prelude& prelude, const std::vector<Binding>& bindings,
                              uint32_t workgroups, int rows_per_workgroup) {
  Op op = make(name, prelude, bindings, workgroups, rows_per_workgroup);
  op.has_rows_first = true;
  return op;
}

}  // namespace kexa

#include "kernels/op.h"

namespace kexa {

Prelude KernelSet::prelude() const {
  Prelude prelude;
  prelude.elements(choice_.has_f16_elements).set("HAS_SUBGROUPS", choice_.has_subgroups);
  if (choice_.has_subgroups) prelude.enable("subgroups");
  prelude.set("STEP_ROW_COUNT", kStepRowCount).set("STEP_LOGIT_COUNT", kStepLogitCount).set("STEP_ROWS", kStepRows);
  prelude.set("STEP_LOGIT_ROWS", kStepLogitRows(max_rows_)).set("LOWEST", -3.0e38f);
  return prelude;
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

}  // namespace kexa

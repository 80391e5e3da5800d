#include "cpu/panel.h"

namespace kexa {
namespace {

#if defined(__x86_64__)
const PanelKernels& vnni_kernels() {
  static const PanelKernels kernels = [] {
    PanelKernels all = kAvx512Kernels;
    all.multiply_rounded_panel = multiply_rounded_panel_vnni;
    return all;
  }();
  return kernels;
}
#endif

}  // namespace

const PanelKernels& panel_kernels(InstructionSet set) {
  switch (set) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2:
      return kAvx2Kernels;
    case InstructionSet::kAvx512:
      return kAvx512Kernels;
    case InstructionSet::kAvx512Vnni:
      return vnni_kernels();
#elif defined(__aarch64__)
    case InstructionSet::kNeon:
      return kNeonKernels;
#endif
    default:
      return kPlainKernels;
  }
}

const PanelKernels& panel_kernels() { return panel_kernels(chosen_instruction_set()); }

}  // namespace kexa

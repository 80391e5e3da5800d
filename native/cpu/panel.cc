#include "cpu/panel.h"

namespace kexa {

const PanelKernels& panel_kernels(InstructionSet set) {
  switch (set) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2:
      return kAvx2Kernels;
    case InstructionSet::kAvx512:
      return kAvx512Kernels;
    case InstructionSet::kAvx512Vnni:
      return kAvx512VnniKernels;
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

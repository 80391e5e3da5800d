#define KEXA_SET avx2
#include "cpu/panel_vector.h"

const kexa::PanelKernels kexa::kAvx2Kernels = kexa::KEXA_SET::kKernels;

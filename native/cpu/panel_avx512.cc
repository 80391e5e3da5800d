#define KEXA_SET avx512
#include "cpu/panel_vector.h"

const kexa::PanelKernels kexa::kAvx512Kernels = kexa::KEXA_SET::kKernels;

#define KEXA_SET avx512vnni
#include "cpu/panel_vector.h"

const kexa::PanelKernels kexa::kAvx512VnniKernels = kexa::KEXA_SET::kKernels;

#define KEXA_SET neon
#include "cpu/panel_vector.h"

const kexa::PanelKernels kexa::kNeonKernels = kexa::KEXA_SET::kKernels;

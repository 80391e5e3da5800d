#define KEXA_SET avx512vnni
#include "cpu/panel_integers.h"

void kexa::multiply_rounded_panel_vnni(const PanelSource& weights, const RoundedBlock* const* x, int rows, float* out) {
  KEXA_SET::multiply_rounded_panel(weights, x, rows, out);
}

// Measures the rates of this processor, on as many threads as the CPU device has.
#pragma once

#include "device/rates.h"

namespace kexa {

// Each rate is the best of several runs, which take about a second in all. Throws KEXA_OUT_OF_MEMORY.
DeviceRates measure_cpu_rates(int threads);

}  // namespace kexa

// The rates of this processor, on as many threads as the CPU device has.
#pragma once

#include "device/rates.h"

namespace kexa {

// Each the best of several runs, about a second in all. Throws KEXA_OUT_OF_MEMORY.
DeviceRates measure_cpu_rates(int threads);

}  // namespace kexa

// Measures the rates of a GPU: copying, reading, products in f32 and by subgroup matrices.
#pragma once

#include "device/rates.h"
#include "gpu/gpu.h"

namespace kexa {

// Each rate is the best of several runs. Uses up to 2 GiB of the GPU's memory for a while. Throws KEXA_OUT_OF_MEMORY.
DeviceRates measure_gpu_rates(Gpu& gpu);

}  // namespace kexa

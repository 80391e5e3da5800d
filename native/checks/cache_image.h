// Converts bytes of the KV cache between the layouts of the CPU device and the GPU device.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "plan/layout.h"

namespace kexa {

// Whole heads in the GPU's layout from the CPU's, and back.
std::vector<std::byte> to_gpu_cache(const KvLayout& kv, std::span<const std::byte> heads);
std::vector<std::byte> from_gpu_cache(const KvLayout& kv, std::span<const std::byte> heads);

}  // namespace kexa

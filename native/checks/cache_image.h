// The KV cache's bytes as the CPU device has them and as the GPU device does.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "plan/layout.h"

namespace kexa {

// What the GPU would hold of whole heads as the CPU stores them, and back.
std::vector<std::byte> to_gpu_cache(const KvLayout& kv, std::span<const std::byte> heads);
std::vector<std::byte> from_gpu_cache(const KvLayout& kv, std::span<const std::byte> heads);

}  // namespace kexa

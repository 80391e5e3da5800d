// The size of a buffer on a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace kexa {

// Bytes of a buffer that is to hold `bytes`: the next multiple of 16, at least 16. The planner and the maker of buffers
// both use it, so the plan is exact.
constexpr int64_t whole_buffer(int64_t bytes) { return std::max<int64_t>(16, (bytes + 15) / 16 * 16); }

}  // namespace kexa

// The size of a buffer on a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace kexa {

// Bytes of a buffer that is to hold `bytes`: the next multiple of 16, and 16 at least. The planner counts with the same
// sum that makes the buffer, so that the plan is exact.
constexpr int64_t whole_buffer(int64_t bytes) { return std::max<int64_t>(16, (bytes + 15) / 16 * 16); }

}  // namespace kexa

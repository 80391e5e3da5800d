// How a sequence's tokens are chosen.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace kexa {

// The order of operations: bias, penalties, temperature, top-k, top-p (within what top-k left), min-p, then a draw by
// Gumbel noise that depends on seed, position and token alone. So every device draws the same token.
struct SamplingParams {
  float temperature = 1;  // 0: greedy
  int top_k = 0;          // 0: all
  float top_p = 1;
  float min_p = 0;
  float repeat_penalty = 1;                           // over prompt and answer
  int repeat_last_n = -1;                             // -1: all of them
  float presence_penalty = 0, frequency_penalty = 0;  // over the answer
  std::vector<std::pair<int, float>> logit_bias;
  uint64_t seed = 0;
};

}  // namespace kexa

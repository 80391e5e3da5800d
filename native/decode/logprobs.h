// How probable tokens are under the model's own distribution, before any sampling setting.
#pragma once

#include <span>
#include <utility>
#include <vector>

namespace kexa {

struct Choice {
  int token = 0;
  // Where they were asked for:
  float logprob = 0;
  std::vector<std::pair<int, float>> top;  // the most probable tokens, best first
};

// log(sum(exp(logits))), in double.
double log_sum_exp(std::span<const float> logits);

// The token with its log-probability and those of the `alternatives` best tokens.
Choice with_logprobs(int token, std::span<const float> logits, int alternatives);

}  // namespace kexa

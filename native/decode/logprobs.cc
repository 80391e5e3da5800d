#include "decode/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace kexa {

double log_sum_exp(std::span<const float> logits) {
  const double maximum = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - maximum);
  return maximum + std::log(sum);
}

Choice with_logprobs(int token, std::span<const float> logits, int alternatives) {
  const double normalizer = log_sum_exp(logits);
  Choice choice{.token = token, .logprob = float(logits[token] - normalizer), .top = {}};
  std::vector<int> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  const int wanted = std::min<int>(alternatives, int(logits.size()));
  std::partial_sort(tokens.begin(), tokens.begin() + wanted, tokens.end(),
                    [&](int a, int b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  for (int i = 0; i < wanted; ++i) choice.top.emplace_back(tokens[i], float(logits[tokens[i]] - normalizer));
  return choice;
}

}  // namespace kexa

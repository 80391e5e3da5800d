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

// log(sum(exp(logits))) of a row that must outlive it, as it is in double with the terms added up in the order of the
// ids. It is known between two bounds; only if a log-probability is rounded to other floats by them is it computed so.
class LogNormalizer {
 public:
  explicit LogNormalizer(std::span<const float> logits);

  // logits[token] less the normalizer.
  float logprob(int token);

 private:
  std::span<const float> logits_;
  double maximum_, low_, high_;
};

// The token with its log-probability and those of the `alternatives` best tokens.
Choice with_logprobs(int token, std::span<const float> logits, int alternatives);

}  // namespace kexa

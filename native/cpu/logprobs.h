// Log-probabilities of tokens under the model's own distribution, before any sampling option.
#pragma once

#include <span>

#include "device/sampling.h"

namespace kexa {

// log(sum(exp(logits))) of a row, in f64, with the terms added in the order of the ids. It first finds two bounds of
// this number. Only if a log-probability rounds to different floats at the two does it compute the number itself.
// `logits` must outlive it.
class LogNormalizer {
 public:
  explicit LogNormalizer(std::span<const float> logits);

  // logits[token] minus the normalizer.
  float logprob(int token);

 private:
  std::span<const float> logits_;
  double maximum_, low_, high_;
};

// The token with its log-probability, and the `alternatives` best tokens with theirs.
Choice with_logprobs(int token, std::span<const float> logits, int alternatives);

}  // namespace kexa

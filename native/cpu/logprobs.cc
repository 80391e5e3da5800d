#include "cpu/logprobs.h"

#include <algorithm>
#include <cmath>

#include "base/numbers.h"
#include "cpu/panel.h"

namespace kexa {
namespace {

constexpr int kAtOnce = 512;

// The sum of e^(logit - maximum), term by term in order, each as exact as the library computes it.
double exact_sum(std::span<const float> logits, double maximum) {
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - maximum);
  return sum;
}

// A faster sum, which differs from the exact one by at most 2^-51 of itself for each logit.
double fast_sum(std::span<const float> logits, double maximum) {
  const auto exps = panel_kernels().exps;
  double found[kAtOnce], lanes[8] = {};
  for (size_t first = 0; first < logits.size(); first += kAtOnce) {
    const int count = int(std::min(logits.size() - first, size_t(kAtOnce)));
    exps(&logits[first], maximum, count, found);
    std::fill(found + count, found + (count + 7) / 8 * 8, 0.0);
    for (int i = 0; i < count; i += 8)
      for (int lane = 0; lane < 8; ++lane) lanes[lane] += found[i + lane];
  }
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return sum;
}

// The `count` best tokens, best first. The lowest id wins ties.
std::vector<int> best_tokens(std::span<const float> logits, size_t count) {
  std::vector<int> best;
  if (count == 0) return best;
  float least = -INFINITY;
  for (int token = 0; token < int(logits.size()); ++token) {
    // A later token that is only as good comes after it.
    if (best.size() == count && !(logits[token] > least)) continue;
    if (best.size() == count) best.pop_back();
    const auto place = std::find_if(best.begin(), best.end(), [&](int other) { return logits[token] > logits[other]; });
    best.insert(place, token);
    least = logits[best.back()];
  }
  return best;
}

}  // namespace

LogNormalizer::LogNormalizer(std::span<const float> logits)
    : logits_(logits), maximum_(largest_of(logits.data(), logits.size())) {
  const double sum = fast_sum(logits, maximum_), doubt = double(logits.size() + 64) * 0x1p-51;
  low_ = maximum_ + std::log(sum * (1 - doubt));
  high_ = maximum_ + std::log(sum * (1 + doubt));
}

float LogNormalizer::logprob(int token) {
  // The difference falls as the normalizer grows. So if both bounds round to the same float, every value between them
  // does.
  if (float(logits_[token] - low_) != float(logits_[token] - high_))
    low_ = high_ = maximum_ + std::log(exact_sum(logits_, maximum_));
  return float(logits_[token] - low_);
}

Choice with_logprobs(int token, std::span<const float> logits, int alternatives) {
  LogNormalizer normalizer(logits);
  Choice choice{.token = token, .logprob = normalizer.logprob(token), .top = {}};
  for (int other : best_tokens(logits, size_t(alternatives))) choice.top.emplace_back(other, normalizer.logprob(other));
  return choice;
}

}  // namespace kexa

#include "reference/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "plan/vocabulary.h"
#include "reference/random.h"

namespace kexa {

Sampler::Sampler(SamplingParams params, int vocab) : params_(std::move(params)), adjusted_(vocab), counts_(vocab) {}

void Sampler::penalize(std::span<const int> ids, size_t prompt_size) {
  for (const auto& [token, bias] : params_.logit_bias)
    adjusted_[token] = bias == -INFINITY ? bias : saturated(adjusted_[token] + bias);
  if (params_.repeat_penalty != 1) {
    const size_t last = params_.repeat_last_n < 0 ? ids.size() : std::min(ids.size(), size_t(params_.repeat_last_n));
    const auto seen = ids.last(last);
    for (int token : seen) {
      // Once a token, however often it was seen (Keskar et al., CTRL, 2019).
      if (counts_[token]++) continue;
      adjusted_[token] =
          saturated(adjusted_[token] * (adjusted_[token] > 0 ? 1 / params_.repeat_penalty : params_.repeat_penalty));
    }
    for (int token : seen) counts_[token] = 0;
  }
  if (params_.presence_penalty != 0 || params_.frequency_penalty != 0) {
    const auto answer = ids.subspan(prompt_size);
    for (int token : answer) ++counts_[token];
    for (int token : answer) {
      if (counts_[token])
        adjusted_[token] -= params_.frequency_penalty * float(counts_[token]) + params_.presence_penalty;
      counts_[token] = 0;
    }
  }
}

int Sampler::draw(uint32_t position) {
  const auto is_better = [this](int a, int b) {
    return adjusted_[a] != adjusted_[b] ? adjusted_[a] > adjusted_[b] : a < b;
  };
  // Counted from the best, so that no temperature, however small, overflows.
  const float maximum = *std::max_element(adjusted_.begin(), adjusted_.end());
  for (float& logit : adjusted_) logit = (logit - maximum) / params_.temperature;
  candidates_.resize(adjusted_.size());
  std::iota(candidates_.begin(), candidates_.end(), 0);
  if (params_.top_k > 0 && params_.top_k < int(candidates_.size())) {
    std::nth_element(candidates_.begin(), candidates_.begin() + params_.top_k - 1, candidates_.end(), is_better);
    candidates_.resize(params_.top_k);
  }
  const auto probability = [&](int token) { return std::exp(double(adjusted_[token])); };  // of the best one: 1

  if (params_.top_p < 1) {
    double total = 0;
    for (int token : candidates_) total += probability(token);
    // Most of a vocabulary is too improbable to matter; sorting only what can be kept saves most of the time.
    const double floor = total * (1 - params_.top_p) / double(candidates_.size());
    std::vector<int> likely;
    for (int token : candidates_)
      if (probability(token) >= floor) likely.push_back(token);
    std::sort(likely.begin(), likely.end(), is_better);
    double reached = 0;
    size_t kept = 0;
    while (kept < likely.size() && reached < params_.top_p * total) reached += probability(likely[kept++]);
    likely.resize(std::max<size_t>(1, kept));
    candidates_ = std::move(likely);
  }

  int best = -1;
  float best_score = -INFINITY;
  for (int token : candidates_) {
    // The most probable token is always kept; a banned one never is.
    if (probability(token) < params_.min_p || adjusted_[token] == -INFINITY) continue;
    const float score = adjusted_[token] + gumbel(params_.seed, position, uint32_t(token));
    if (score > best_score || (score == best_score && token < best)) best = token, best_score = score;
  }
  return best;
}

int Sampler::choose(std::span<const float> logits, std::span<const int> ids, size_t prompt_size) {
  std::copy(logits.begin(), logits.end(), adjusted_.begin());
  penalize(ids, prompt_size);

  const bool is_banned_all =
      std::all_of(adjusted_.begin(), adjusted_.end(), [](float logit) { return logit == -INFINITY; });
  if (is_banned_all) throw Error("KEXA_INVALID_ARGUMENT", "logitBias bans every token");
  // max_element gives the first of equals: the lowest id.
  if (params_.temperature == 0) return int(std::max_element(adjusted_.begin(), adjusted_.end()) - adjusted_.begin());
  return draw(uint32_t(ids.size()));
}

}  // namespace kexa

#include "checks/plain_sampler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "cpu/random.h"
#include "device/vocabulary.h"

namespace kexa {
namespace {

std::vector<float> with_penalties(const SamplingParams& params, std::span<const float> logits, std::span<const int> ids,
                                  size_t prompt_size) {
  std::vector<float> adjusted(logits.begin(), logits.end());
  const auto change = [&](int token, float to) {
    if (adjusted[token] != -INFINITY) adjusted[token] = saturated(to);
  };
  for (const auto& [token, bias] : params.logit_bias) {
    if (bias == -INFINITY)
      adjusted[token] = bias;
    else
      change(token, adjusted[token] + bias);
  }
  const auto counted = [](std::span<const int> tokens) {
    std::map<int, int> counts;
    for (int token : tokens) ++counts[token];
    return counts;
  };
  const size_t last = params.repeat_last_n < 0 ? ids.size() : std::min(ids.size(), size_t(params.repeat_last_n));
  if (params.repeat_penalty != 1)
    for (const auto& [token, count] : counted(ids.last(last)))
      change(token, adjusted[token] * (adjusted[token] > 0 ? 1 / params.repeat_penalty : params.repeat_penalty));
  if (params.presence_penalty != 0 || params.frequency_penalty != 0)
    for (const auto& [token, count] : counted(ids.subspan(prompt_size)))
      change(token, adjusted[token] - (params.frequency_penalty * float(count) + params.presence_penalty));
  return adjusted;
}

}  // namespace

int choose_plainly(const SamplingParams& params, std::span<const float> logits, std::span<const int> ids,
                   size_t prompt_size) {
  std::vector<float> scores = with_penalties(params, logits, ids, prompt_size);
  const auto best = std::max_element(scores.begin(), scores.end());
  if (params.temperature == 0) return int(best - scores.begin());
  const float maximum = *best;
  for (float& score : scores) score = (score - maximum) / params.temperature;
  const auto is_better = [&](int a, int b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; };
  const auto probability = [&](int token) { return std::exp(double(scores[token])); };

  std::vector<int> kept(scores.size());
  std::iota(kept.begin(), kept.end(), 0);
  if (params.top_k > 0 && params.top_k < int(kept.size())) {
    std::nth_element(kept.begin(), kept.begin() + params.top_k - 1, kept.end(), is_better);
    kept.resize(params.top_k);
  }
  if (params.top_p < 1) {
    double total = 0, reached = 0;
    for (int token : kept) total += probability(token);
    const double floor = total * (1 - params.top_p) / double(kept.size());
    std::erase_if(kept, [&](int token) { return probability(token) < floor; });
    std::sort(kept.begin(), kept.end(), is_better);
    size_t count = 0;
    while (count < kept.size() && reached < params.top_p * total) reached += probability(kept[count++]);
    kept.resize(std::max<size_t>(1, count));
  }
  int chosen = -1;
  float most = -INFINITY;
  for (int token : kept) {
    if (probability(token) < params.min_p || scores[token] == -INFINITY) continue;
    const float sum = scores[token] + gumbel(params.seed, uint32_t(ids.size()), uint32_t(token));
    if (sum > most || (sum == most && token < chosen)) chosen = token, most = sum;
  }
  return chosen;
}

Choice with_plain_logprobs(int token, std::span<const float> logits, int alternatives) {
  const double maximum = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - maximum);
  const double normalizer = maximum + std::log(sum);
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

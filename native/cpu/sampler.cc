#include "cpu/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/numbers.h"
#include "cpu/random.h"
#include "device/vocabulary.h"

namespace kexa {
namespace {

constexpr int kBins = 2048;
// Scores further below the best share the last bin of the first pass.
constexpr float kMostRange = 64;
// A bin with no more tokens than this is sorted.
constexpr size_t kFewTokens = 256;
// to_uniform() gives noise of at most 16.64.
constexpr float kMostNoise = 17;
constexpr int kExpsAtOnce = 512;

// The lowest score whose probability, relative to the best token's, is at least min_p. Probabilities grow with scores,
// so a binary search over all floats finds it.
float lowest_score(float min_p) {
  if (min_p <= 0) return -INFINITY;
  // The bits of positive floats have the order of the floats.
  uint32_t kept = 0, dropped = std::bit_cast<uint32_t>(200.0f);
  while (dropped - kept > 1) {
    const uint32_t middle = kept + (dropped - kept) / 2;
    (std::exp(-double(std::bit_cast<float>(middle))) >= double(min_p) ? kept : dropped) = middle;
  }
  return -std::bit_cast<float>(kept);
}

}  // namespace

// Divides the range between two scores into equal bins, the best first.
struct Sampler::Bins {
  float from, per_score;

  uint16_t bin_of(float score) const { return uint16_t(std::min((from - score) * per_score, float(kBins - 1))); }
};

Sampler::Sampler(SamplingParams params, int vocab, const PanelKernels& loops)
    : loops_(&loops),
      params_(std::move(params)),
      vocab_(vocab),
      least_kept_(lowest_score(params_.min_p)),
      adjusted_(vocab),
      scores_((vocab + kScoreBlock - 1) / kScoreBlock * kScoreBlock, -INFINITY),
      bins_(vocab),
      counts_(vocab) {}

void Sampler::penalize(std::span<const int> ids, size_t prompt_size) {
  for (const auto& [token, bias] : params_.logit_bias)
    adjusted_[token] = bias == -INFINITY ? bias : saturated(adjusted_[token] + bias);
  if (params_.repeat_penalty != 1) {
    const size_t last = params_.repeat_last_n < 0 ? ids.size() : std::min(ids.size(), size_t(params_.repeat_last_n));
    const auto seen = ids.last(last);
    for (int token : seen) {
      // Penalises a token once, however often it was seen (Keskar et al., CTRL, 2019).
      if (counts_[token]++) continue;
      const float factor = adjusted_[token] > 0 ? 1 / params_.repeat_penalty : params_.repeat_penalty;
      if (adjusted_[token] != -INFINITY) adjusted_[token] = saturated(adjusted_[token] * factor);
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

void Sampler::ban(size_t answer_size, std::span<const uint32_t> mask) {
  if (answer_size < size_t(params_.min_tokens))
    for (int token : params_.end_tokens) adjusted_[token] = -INFINITY;
  for (int token = 0; !mask.empty() && token < vocab_; ++token)
    if (!(mask[token / 32] >> (token % 32) & 1)) adjusted_[token] = -INFINITY;
}

void Sampler::weigh(const std::vector<int>& tokens, bool is_mass) {
  weights_.assign(tokens.size(), 1);
  if (!is_mass) return;
  float some[kExpsAtOnce];
  for (size_t first = 0; first < tokens.size(); first += kExpsAtOnce) {
    const int count = int(std::min(tokens.size() - first, size_t(kExpsAtOnce)));
    for (int i = 0; i < count; ++i) some[i] = scores_[tokens[first + i]];
    loops_->exps(some, 0, count, &weights_[first]);
  }
}

// Adds the weights of all tokens to their bins.
void Sampler::fill_bins(const Bins& bins, bool is_mass) {
  sums_.assign(kBins, 0);
  for (int i = 0; i < vocab_; ++i) bins_[i] = bins.bin_of(scores_[i]);
  double some[kExpsAtOnce];
  for (int first = 0; first < vocab_; first += kExpsAtOnce) {
    const int count = std::min(vocab_ - first, kExpsAtOnce);
    if (is_mass) loops_->exps(&scores_[first], 0, count, some);
    for (int i = 0; i < count; ++i) sums_[bins_[first + i]] += is_mass ? some[i] : 1;
  }
}

Sampler::Reached Sampler::search(std::vector<int> tokens, bool is_mass, double wanted) {
  Reached found{};
  const auto pass_bins = [&] {
    int bin = 0;
    while (bin + 1 < kBins && found.before + sums_[bin] < found.goal) found.before += sums_[bin++];
    return bin;
  };
  if (tokens.empty()) {
    float range = 0;
    for (int i = 0; i < vocab_; ++i) range = std::max(range, scores_[i] < -kMostRange ? kMostRange : -scores_[i]);
    fill_bins({0, kBins / std::max(range, 1e-6f)}, is_mass);
    found.total = std::accumulate(sums_.begin(), sums_.end(), 0.0);
    found.goal = is_mass ? wanted * found.total : wanted;
    const int bin = pass_bins();
    for (int i = 0; i < vocab_; ++i)
      if (bins_[i] == bin) tokens.push_back(i);
  } else {
    weigh(tokens, is_mass);
    found.total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
    found.goal = is_mass ? wanted * found.total : wanted;
  }

  const auto score_of = [&](int token) { return scores_[token]; };
  while (tokens.size() > kFewTokens) {
    const auto [worst, best] =
        std::minmax_element(tokens.begin(), tokens.end(), [&](int a, int b) { return score_of(a) < score_of(b); });
    const float from = score_of(*best), range = std::min(from - score_of(*worst), kMostRange);
    if (!(range > 1e-6f)) break;
    const Bins bins{from, kBins / range};
    weigh(tokens, is_mass);
    sums_.assign(kBins, 0);
    for (size_t i = 0; i < tokens.size(); ++i) sums_[bins.bin_of(score_of(tokens[i]))] += weights_[i];
    const int bin = pass_bins();
    const size_t before = tokens.size();
    std::erase_if(tokens, [&](int token) { return bins.bin_of(score_of(token)) != bin; });
    if (tokens.size() == before) break;
  }
  // The sort is stable and the tokens are in the order of their ids, so the lowest id wins ties.
  std::stable_sort(tokens.begin(), tokens.end(), [&](int a, int b) { return score_of(a) > score_of(b); });
  weigh(tokens, is_mass);
  for (size_t i = 0; i < tokens.size(); ++i) {
    found.cut = {score_of(tokens[i]), tokens[i]};
    found.with = found.before + weights_[i];
    if (found.with >= found.goal) break;
    found.before = found.with;
  }
  return found;
}

Sampler::Cut Sampler::cut_of_mass(std::vector<int> tokens) {
  const double share = params_.top_p;
  const Reached found = search(std::move(tokens), true, share);
  // An upper bound of the error of such sums: another order, and probabilities that are exact to 1e-15.
  const double doubt = found.total * (vocab_ + 64) * 0x1p-51;
  const bool is_below = found.before == 0 || found.goal - found.before > doubt;
  return is_below && found.with - found.goal > doubt ? found.cut : exact_cut_of_mass();
}

Sampler::Cut Sampler::exact_cut_of_mass() {
  const auto is_better = [this](int a, int b) { return scores_[a] != scores_[b] ? scores_[a] > scores_[b] : a < b; };
  const auto probability = [this](int token) { return std::exp(double(scores_[token])); };
  std::vector<int> tokens(vocab_);
  std::iota(tokens.begin(), tokens.end(), 0);
  if (has_top_k()) {
    std::nth_element(tokens.begin(), tokens.begin() + params_.top_k - 1, tokens.end(), is_better);
    tokens.resize(params_.top_k);
  }
  double total = 0, reached = 0;
  for (int token : tokens) total += probability(token);
  // Tokens below this probability have, all together, no more mass than is cut off.
  const double floor = total * (1 - params_.top_p) / double(tokens.size());
  std::erase_if(tokens, [&](int token) { return probability(token) < floor; });
  std::sort(tokens.begin(), tokens.end(), is_better);
  size_t kept = 0;
  while (kept < tokens.size() && reached < params_.top_p * total) reached += probability(tokens[kept++]);
  const int last = tokens[std::max<size_t>(1, kept) - 1];
  return {scores_[last], last};
}

int Sampler::draw(int best, uint32_t position) {
  // Relative to the best, so that not even a tiny temperature overflows.
  const float largest = adjusted_[best];
  for (int i = 0; i < vocab_; ++i) scores_[i] = (adjusted_[i] - largest) / params_.temperature;

  Cut cut{-INFINITY, vocab_};
  std::vector<int> tokens;  // empty: all
  if (has_top_k()) {
    cut = search({}, false, params_.top_k).cut;
    for (int i = 0; params_.top_p < 1 && i < vocab_; ++i)
      if (cut.keeps(scores_[i], i)) tokens.push_back(i);
  }
  if (params_.top_p < 1) cut = cut_of_mass(std::move(tokens));

  // The most probable token is always kept.
  int chosen = best;
  float most = scores_[best] + gumbel(params_.seed, position, uint32_t(best));
  NoiseSearch search{.scores = scores_.data(),
                     .count = int(scores_.size()),
                     .seed = params_.seed,
                     .position = position,
                     .least = 0,
                     .chance = 0};
  for (int token = 0;; ++token) {
    search.least = std::max({least_kept_, cut.score, most - kMostNoise});
    search.chance = std::exp(-most);
    token = loops_->next_possible(search, token);
    if (token < 0) return chosen;
    if (token == best || !cut.keeps(scores_[token], token)) continue;
    const float sum = scores_[token] + gumbel(params_.seed, position, uint32_t(token));
    if (sum > most || (sum == most && token < chosen)) chosen = token, most = sum;
  }
}

int Sampler::choose(std::span<const float> logits, std::span<const int> ids, size_t prompt_size,
                    std::span<const uint32_t> mask) {
  std::copy(logits.begin(), logits.end(), adjusted_.begin());
  penalize(ids, prompt_size);
  ban(ids.size() - prompt_size, mask);
  const float largest = largest_of(adjusted_.data(), adjusted_.size());
  if (largest == -INFINITY) throw all_banned();
  // The first of equals has the lowest id.
  const int best = int(std::find(adjusted_.begin(), adjusted_.end(), largest) - adjusted_.begin());
  return params_.temperature == 0 ? best : draw(best, uint32_t(ids.size()));
}

}  // namespace kexa

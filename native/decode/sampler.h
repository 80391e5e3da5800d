// Choosing the next token.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace kexa {

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
  int logprobs = -1;  // -1: none wanted; else alternatives beside the chosen token
};

struct Choice {
  int token = 0;
  // With logprobs >= 0, under the model's own distribution, before any of the above:
  float logprob = 0;
  std::vector<std::pair<int, float>> top;  // best first
};

// One sequence's sampling. The order of operations: bias, penalties, temperature, top-k, top-p (of what top-k left),
// min-p, then a draw by Gumbel noise that depends on seed, position and token alone.
class Sampler {
 public:
  Sampler(SamplingParams params, int vocab);

  // The next token after `ids`, of which the last `ids.size() - prompt_size` are the answer so far.
  // Throws KEXA_BAD_FILE if a logit is not a number: damaged weights give no text.
  Choice choose(std::span<const float> logits, std::span<const int> ids, size_t prompt_size);
  // The token alone: what choose() would take, were these the model's logits.
  int choose_token(std::span<const float> logits, std::span<const int> ids, size_t prompt_size);

 private:
  void penalize(std::span<const int> ids, size_t prompt_size);
  int draw(uint32_t position);

  SamplingParams params_;
  std::vector<float> adjusted_;  // [vocab]
  std::vector<int> candidates_;
  std::vector<uint32_t> counts_;  // [vocab], occurrences; all zero between calls
};

// log(sum(exp(logits))), in double.
double log_sum_exp(std::span<const float> logits);

}  // namespace kexa

// How a sequence's tokens are chosen.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace kexa {

// The options apply in this order: bias, penalties, banned end tokens, temperature, top-k, top-p (of the tokens that
// top-k left), min-p. The token is then drawn by Gumbel noise, which depends on seed, position and token alone. So
// every device draws the same token.
struct SamplingParams {
  float temperature = 1;  // 0: greedy
  int top_k = 0;          // 0: all
  float top_p = 1;
  float min_p = 0;
  float repeat_penalty = 1;                           // over prompt and answer
  int repeat_last_n = -1;                             // -1: all of them
  float presence_penalty = 0, frequency_penalty = 0;  // over the answer
  std::vector<std::pair<int, float>> logit_bias;
  // The end tokens cannot be chosen while the answer has fewer than min_tokens tokens.
  int min_tokens = 0;
  std::vector<int> end_tokens;  // empty if min_tokens is 0
  uint64_t seed = 0;
};

// A chosen token.
struct Choice {
  int token = 0;
  // Only if they were asked for:
  float logprob = 0;
  std::vector<std::pair<int, float>> top;  // the most probable tokens, best first
};

// Calls visit(name, field) for each option that is one number, with its name in lib/sampling-options.ts.
void visit_numbers(auto& params, const auto& visit) {
  visit("temperature", params.temperature);
  visit("topK", params.top_k);
  visit("topP", params.top_p);
  visit("minP", params.min_p);
  visit("repeatPenalty", params.repeat_penalty);
  visit("repeatLastN", params.repeat_last_n);
  visit("presencePenalty", params.presence_penalty);
  visit("frequencyPenalty", params.frequency_penalty);
}

}  // namespace kexa

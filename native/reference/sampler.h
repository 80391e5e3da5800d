// Choosing the next token on the CPU.
#pragma once

#include <span>

#include "plan/sampling.h"

namespace kexa {

// One sequence's sampling.
class Sampler {
 public:
  Sampler(SamplingParams params, int vocab);

  // The next token after `ids`, of which the last `ids.size() - prompt_size` are the answer so far: always one of the
  // vocabulary. All logits must be finite (check_logits), and all of `ids` in the vocabulary.
  // Throws KEXA_INVALID_ARGUMENT if the bias bans every token.
  int choose(std::span<const float> logits, std::span<const int> ids, size_t prompt_size);

 private:
  void penalize(std::span<const int> ids, size_t prompt_size);
  int draw(uint32_t position);

  SamplingParams params_;
  std::vector<float> adjusted_;  // [vocab]
  std::vector<int> candidates_;
  std::vector<uint32_t> counts_;  // [vocab], occurrences; all zero between calls
};

}  // namespace kexa

// The definition of choosing, written to be read: what the sampler and the log-probabilities of the CPU device are
// compared with, to the bit.
#pragma once

#include <span>

#include "decode/logprobs.h"
#include "device/sampling.h"

namespace kexa {

// Sampler::choose.
int choose_plainly(const SamplingParams& params, std::span<const float> logits, std::span<const int> ids,
                   size_t prompt_size);

// with_logprobs().
Choice with_plain_logprobs(int token, std::span<const float> logits, int alternatives);

}  // namespace kexa

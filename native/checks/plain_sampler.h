// The definition of choosing, written to be read. The sampler and the log-probabilities of the CPU device must equal it
// to the bit.
#pragma once

#include <span>

#include "cpu/logprobs.h"
#include "device/sampling.h"

namespace kexa {

// Chooses as Sampler::choose must.
int choose_plainly(const SamplingParams& params, std::span<const float> logits, std::span<const int> ids,
                   size_t prompt_size);

// Computes what with_logprobs() must.
Choice with_plain_logprobs(int token, std::span<const float> logits, int alternatives);

}  // namespace kexa

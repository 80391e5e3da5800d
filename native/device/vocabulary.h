// Checks of tokens and logits, whatever device they come from.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include "base/error.h"
#include "device/device.h"
#include "plan/layout.h"

namespace kexa {

// Throws KEXA_INTERNAL if an id is not in the vocabulary. The ids of users were checked before, but an index past a
// buffer must not depend on that.
void check_tokens(std::span<const int> ids, int vocab);
// Checks a step's rows. Rows of following groups have any tokens, because the device itself chose the real ones.
void check_tokens(const Step& step, int vocab);

// The error for a logit that is NaN or infinite: KEXA_BAD_FILE. It names the possible causes besides the weights.
Error not_finite_logit(int token, const PlanOptions& options);
// The error if no token may be chosen: KEXA_INVALID_ARGUMENT.
Error all_banned();
// Throws not_finite_logit() for the first such logit of a row.
void check_logits(std::span<const float> logits, const PlanOptions& options);

// The finite float nearest to a sum or product of finite floats. Bias and penalties may make a logit overflow.
inline float saturated(float value) {
  return std::clamp(value, std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max());
}

}  // namespace kexa

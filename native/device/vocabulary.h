// What holds of every token and every logit, wherever they come from.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include "base/error.h"
#include "device/device.h"
#include "plan/layout.h"

namespace kexa {

// Throws KEXA_INTERNAL if an id is none of the vocabulary's: whoever takes ids from outside has checked them, but an
// index past a buffer must not depend on that.
void check_tokens(std::span<const int> ids, int vocab);
// The same of a step's rows. Those of a following step are the device's own.
void check_tokens(const Step& step, int vocab);

// The error of a logit that is NaN or infinite: KEXA_BAD_FILE. It names what else than the weights may be the cause.
Error not_finite_logit(int token, const PlanOptions& options);
// Throws it for the first such logit of a row.
void check_logits(std::span<const float> logits, const PlanOptions& options);

// The finite float nearest to what a sum or a product of finite floats came to: a logit's bias and penalties may
// overflow.
inline float saturated(float value) {
  return std::clamp(value, std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max());
}

}  // namespace kexa

// The groups of a step with their logit rows.
#pragma once

#include <vector>

#include "device/device.h"

namespace kexa {

struct LogitGroup {
  Group group;
  int first_logit, logits;  // its places in Step::logit_rows
};

// One for each group of the step, in their order.
std::vector<LogitGroup> logit_groups(const Step& step);

}  // namespace kexa

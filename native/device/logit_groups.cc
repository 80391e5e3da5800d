#include "device/logit_groups.h"

namespace kexa {

std::vector<LogitGroup> logit_groups(const Step& step) {
  std::vector<LogitGroup> found;
  int logit = 0;
  for (const Group& group : step.groups) {
    const int first = logit, end = group.first_row + group.rows;
    while (logit < int(step.logit_rows.size()) && step.logit_rows[logit] < end) ++logit;
    found.push_back({group, first, logit - first});
  }
  return found;
}

}  // namespace kexa

#include "engine/profiling.h"

#include <utility>

namespace kexa {

Profiling::Profiling(Device& device, bool is_wanted) : device_(device), is_on_(is_wanted) {
  if (is_on_) device_.start_profile();
}

Profiling::~Profiling() {
  try {
    if (is_on_) device_.take_profile();
  } catch (...) {
    // The job has already failed, or the next one will.
  }
}

void Profiling::add_to(std::optional<Profile>& total) {
  if (!std::exchange(is_on_, false)) return;
  const std::optional<Profile> profile = device_.take_profile();
  if (profile) (total ? *total : total.emplace()) += *profile;
}

}  // namespace kexa

// Counts and times what the device does during a job.
#pragma once

#include <optional>

#include "device/device.h"

namespace kexa {

// Profiles the device while it lives: a job that is cut short must not leave it slow.
class Profiling {
 public:
  Profiling(Device& device, bool is_wanted);
  ~Profiling();
  // Ends it.
  void add_to(std::optional<Profile>& total);

 private:
  Device& device_;
  bool is_on_;
};

}  // namespace kexa

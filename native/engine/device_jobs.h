// Small jobs that ask the device for one thing each.
#pragma once

#include <functional>

#include "engine/job.h"

namespace kexa {

class ExpertHeatJob final : public Job {
 public:
  explicit ExpertHeatJob(std::shared_ptr<Channel> channel) : Job(std::move(channel), 0) {}
  bool advance(const JobContext& context) override;
};

// For tests: makes the device fail.
class ForceJob final : public Job {
 public:
  ForceJob(std::shared_ptr<Channel> channel, std::function<void(Device&)> force)
      : Job(std::move(channel), 0), force_(std::move(force)) {}
  bool advance(const JobContext& context) override;

 private:
  std::function<void(Device&)> force_;
};

}  // namespace kexa

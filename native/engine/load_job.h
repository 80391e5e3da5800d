// Loads the model. Events: Progress, Done.
#pragma once

#include "engine/job.h"

namespace kexa {

class LoadJob final : public Job {
 public:
  LoadJob(std::shared_ptr<Channel> channel, int64_t warm_limit) : Job(std::move(channel), 0), warm_limit_(warm_limit) {}
  bool advance(const JobContext& context) override;

 private:
  int64_t warm_limit_;
};

}  // namespace kexa

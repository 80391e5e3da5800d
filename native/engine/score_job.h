// The log-probabilities of a sequence's tokens. Events: Scored.
#pragma once

#include "engine/job.h"

namespace kexa {

class ScoreJob final : public Job {
 public:
  ScoreJob(std::shared_ptr<Channel> channel, uint64_t owner, std::vector<int> ids, int alternatives)
      : Job(std::move(channel), owner), ids_(std::move(ids)), alternatives_(alternatives) {}
  bool advance(const JobContext& context) override;
  void finish(LoadedModel& model) override { model.slots.release(owner()); }

 private:
  std::vector<int> ids_;
  int alternatives_;
  Step step_;
  event::Scored result_;
};

}  // namespace kexa

// One pass over a sequence from an empty cache. Events: Forwarded.
#pragma once

#include "decode/forward.h"
#include "engine/job.h"

namespace kexa {

class ForwardJob final : public Job {
 public:
  ForwardJob(std::shared_ptr<Channel> channel, uint64_t owner, std::vector<int> ids, const ForwardParams& params)
      : Job(std::move(channel), owner), ids_(std::move(ids)), params_(params) {}
  bool advance(const JobContext& context) override;
  void finish(LoadedModel& model) override { model.slots.release(owner()); }

 private:
  // The most rows of the step that begins at `position`. 0: as many as a chunk.
  int most_rows(int position) const;

  std::vector<int> ids_;
  ForwardParams params_;
  Step step_;
  event::Forwarded result_;
};

}  // namespace kexa

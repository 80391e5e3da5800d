#include "engine/load_job.h"

namespace kexa {

bool LoadJob::advance(const JobContext& context) {
  const LoadProgress report = [this](int64_t done, int64_t total) {
    if (channel().cancelled()) throw Cancelled{};
    channel().push(event::Progress{done, total});
  };
  context.model = std::make_unique<LoadedModel>(context.description, context.plan, warm_limit_, report);
  channel().push(event::Done{});
  return true;
}

}  // namespace kexa

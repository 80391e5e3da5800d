#include "engine/device_jobs.h"

namespace kexa {

bool ExpertHeatJob::advance(const JobContext& context) {
  channel().push(event::ExpertHeat{context.loaded().device->expert_heat()});
  return true;
}

bool ForceJob::advance(const JobContext& context) {
  force_(*context.loaded().device);
  channel().push(event::Done{});
  return true;
}

}  // namespace kexa

#include "gpu/timestamps.h"

#include <algorithm>

namespace kexa {
namespace {

constexpr size_t kSetQueries = 4096;

}  // namespace

Timestamps::Query Timestamps::next() {
  const size_t set = used_ / kSetQueries;
  if (set == sets_.size()) {
    WGPUQuerySetDescriptor descriptor = WGPU_QUERY_SET_DESCRIPTOR_INIT;
    descriptor.type = WGPUQueryType_Timestamp;
    descriptor.count = kSetQueries;
    sets_.emplace_back(dawn().DeviceCreateQuerySet(device_, &descriptor));
  }
  const Query query{sets_[set], uint32_t(used_ % kSetQueries), used_};
  ++used_;
  return query;
}

void Timestamps::resolve(WGPUCommandEncoder encoder, WGPUBuffer to) const {
  for (size_t first = 0; first < used_; first += kSetQueries)
    dawn().CommandEncoderResolveQuerySet(encoder, sets_[first / kSetQueries], 0,
                                         uint32_t(std::min(kSetQueries, used_ - first)), to, first * sizeof(uint64_t));
}

}  // namespace kexa

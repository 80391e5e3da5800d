#include "engine/make_device.h"

#ifdef KEXA_GPU
#include "kernels/gpu_device.h"
#endif
#include "base/error.h"
#include "cpu/cpu_device.h"
#include "cpu/cpu_experts.h"
#include "split/split_device.h"

namespace kexa {

std::unique_ptr<Weights> make_weights(const ModelDescription& description, const PlanOptions& options,
                                      int64_t warm_limit, const LoadProgress& progress) {
  const ConversionPlace conversion = options.adapter.empty()      ? ConversionPlace::kHere
                                     : options.has_expert_slots() ? ConversionPlace::kExpertsHere
                                                                  : ConversionPlace::kOnDevice;
  return std::make_unique<Weights>(description, options.weight_type, conversion, warm_limit, progress);
}

std::unique_ptr<Device> make_device(const ModelDescription& description, const Weights& weights, const Plan& plan,
                                    const LoadProgress& progress) {
  const PlanOptions& options = plan.options;
  if (options.adapter.empty()) return std::make_unique<CpuDevice>(description, weights, plan);
#ifdef KEXA_GPU
  std::unique_ptr<HostExperts> host;
  if (options.has_host_experts()) host = std::make_unique<CpuExperts>(description, weights, options.threads);
  return std::make_unique<GpuDevice>(description, weights, plan, open_gpu(options), std::move(host), progress);
#else
  (void)progress;
  throw Error("KEXA_NO_DEVICE",
              "device: wanted '" + options.adapter + "', but this addon was built without Dawn's header: CPU only");
#endif
}

std::unique_ptr<Device> make_split_device(const ModelDescription& description, const Plan& plan, int64_t warm_limit,
                                          const LoadProgress& progress) {
  std::vector<SplitDevice::Member> members;
  int64_t done_bytes = 0;
  for (Part& from : make_parts(description, plan.options)) {
    const int64_t part_bytes = from.plan.memory.weight_bytes;
    const LoadProgress part_progress = [&](int64_t done, int64_t total) {
      const double share = total > 0 ? double(done) / double(total) : 1;
      progress(done_bytes + int64_t(share * double(part_bytes)), plan.memory.weight_bytes);
    };
    SplitDevice::Member member{.part = std::make_unique<Part>(std::move(from)), .weights = {}, .device = {}};
    const Part& part = *member.part;
    member.weights = make_weights(part.description, part.plan.options, warm_limit, part_progress);
    member.device = make_device(part.description, *member.weights, part.plan, part_progress);
    done_bytes += part_bytes;
    members.push_back(std::move(member));
  }
  return std::make_unique<SplitDevice>(std::move(members));
}

}  // namespace kexa

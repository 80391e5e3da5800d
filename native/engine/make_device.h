// Makes the weights and the device of a plan.
#pragma once

#include <memory>

#include "device/device.h"
#include "model/weights.h"
#include "plan/plan.h"

namespace kexa {

// The weights of one device. A GPU that holds all experts converts matrices itself while it uploads them. `warm_limit`
// is that of Weights.
std::unique_ptr<Weights> make_weights(const ModelDescription& description, const PlanOptions& options,
                                      int64_t warm_limit, const LoadProgress& progress);

// A CPU device or a GPU device. `description` and `weights` must outlive it. Throws KEXA_NO_DEVICE.
std::unique_ptr<Device> make_device(const ModelDescription& description, const Weights& weights, const Plan& plan,
                                    const LoadProgress& progress);

// Several devices as one, each with its part of the model. They load one after the other, and report progress in bytes
// of the whole plan.
std::unique_ptr<Device> make_split_device(const ModelDescription& description, const Plan& plan, int64_t warm_limit,
                                          const LoadProgress& progress);

}  // namespace kexa

// The weights and the device that a plan asks for.
#pragma once

#include <memory>

#include "device/device.h"
#include "model/weights.h"
#include "plan/plan.h"

namespace kexa {

// The weights of one device. A GPU that holds all experts converts matrices itself while it uploads them. Weights tells
// what `warm_limit` is.
std::unique_ptr<Weights> make_weights(const ModelDescription& description, const PlanOptions& options,
                                      int64_t warm_limit, const LoadProgress& progress);

// The CPU or a GPU. `description` and `weights` must outlive it. Throws KEXA_NO_DEVICE.
std::unique_ptr<Device> make_device(const ModelDescription& description, const Weights& weights, const Plan& plan,
                                    const LoadProgress& progress);

// Several devices as one, each with its part of the model. They are loaded one after the other; progress is told in
// bytes of the whole plan.
std::unique_ptr<Device> make_split_device(const ModelDescription& description, const Plan& plan, int64_t warm_limit,
                                          const LoadProgress& progress);

}  // namespace kexa

// Divides a model's layers among several devices.
#pragma once

#include "plan/plan.h"

namespace kexa {

// The share of one device: a model of its own, with fewer layers.
struct Part {
  ModelDescription description;
  Plan plan;  // its options are those of one device
};

// The shares in the layers' order, one for each of options.parts. If these do not give numbers of layers, the layers
// are divided so that the fullest device is as empty as possible. Fullness is bytes for each byte of the device's
// memory; if the memory of one device is unknown, it is bytes. Throws KEXA_INVALID_ARGUMENT if there are more devices
// than layers, or if the numbers do not add up to the model's layers.
std::vector<Part> make_parts(const ModelDescription& description, const PlanOptions& options);

}  // namespace kexa

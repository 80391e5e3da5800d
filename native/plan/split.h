// A model's layers divided among several devices.
#pragma once

#include "plan/plan.h"

namespace kexa {

// What one device of several is to hold: a model of its own, with fewer layers.
struct Part {
  ModelDescription description;
  Plan plan;  // whose options are of one device
};

// The parts in the layers' order, one for each of options.parts. Where these do not say how many layers each takes,
// they are divided so that the fullest device is as empty as can be: its bytes for each byte of its memory or, where
// the memory of one is not known, simply its bytes. Throws KEXA_INVALID_ARGUMENT for more devices than layers, or
// layers that are not the model's.
std::vector<Part> make_parts(const ModelDescription& description, const PlanOptions& options);

}  // namespace kexa

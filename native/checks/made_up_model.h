// A small model without files, for checks that need only an engine.
#pragma once

#include "model/description.h"

namespace kexa {

// Eight layers and an MTP block. Two of three layers are sliding, with windows of 5; dense layers and MoE layers
// alternate. Loading makes up the weights.
ModelDescription made_up_model();

}  // namespace kexa

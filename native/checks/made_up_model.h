// A small model without files, for checks that need an engine and nothing more.
#pragma once

#include "model/description.h"

namespace kexa {

// Eight layers, two of three sliding with windows of 5, dense and with experts in turns, and a drafting block. The
// weights are made up when it is loaded.
ModelDescription made_up_model();

}  // namespace kexa

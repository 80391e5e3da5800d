// What a device itself can do: the rates that its ops are held against.
#pragma once

#include <string>

namespace kexa {

struct DeviceRates {
  double copy = 0;      // bytes a second, those read and those written
  double read = 0;      // bytes a second
  double f32 = 0;       // operations a second; a product and a sum are two
  double matrices = 0;  // the same of subgroup matrices, f16 with f32 sums; 0: it has none
  std::string matrix_shape;
};

}  // namespace kexa

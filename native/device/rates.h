// The measured rates of a device, to which its ops are compared.
#pragma once

#include <string>

namespace kexa {

struct DeviceRates {
  double copy = 0;      // bytes a second, read and written bytes together
  double read = 0;      // bytes a second
  double f32 = 0;       // operations a second; a product and a sum are two operations
  double matrices = 0;  // operations a second of subgroup matrices, f16 with f32 sums; 0: the device has none
  std::string matrix_shape;
};

}  // namespace kexa

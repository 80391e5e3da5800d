// Quantisers of the types whose magnitudes are points of a grid: iq2_xxs, iq2_xs and iq3_xxs. See quantize.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexa {

void quantize_iq2_xxs(const float* from, int64_t elements, std::byte* to);
void quantize_iq2_xs(const float* from, int64_t elements, std::byte* to);
void quantize_iq3_xxs(const float* from, int64_t elements, std::byte* to);

}  // namespace kexa

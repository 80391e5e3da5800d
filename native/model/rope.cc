#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace kexa {

std::vector<double> rope_frequencies(const ModelDescription& description) {
  std::vector<double> frequencies(description.head_dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    double& frequency = frequencies[i];
    frequency = std::pow(description.rope_theta, -2.0 * double(i) / description.head_dim);
    if (!description.rope_factors.empty()) frequency /= description.rope_factors[i];
    if (!description.rope_scaling) continue;
    const RopeScaling& scaling = *description.rope_scaling;
    const double wavelength = 2 * std::numbers::pi / frequency;
    const double longest = scaling.original_max_positions / scaling.low_freq_factor;
    const double shortest = scaling.original_max_positions / scaling.high_freq_factor;
    if (wavelength > longest) {
      frequency /= scaling.factor;
    } else if (wavelength >= shortest) {
      const double smooth = (scaling.original_max_positions / wavelength - scaling.low_freq_factor) /
                            (scaling.high_freq_factor - scaling.low_freq_factor);
      frequency *= (1 - smooth) / scaling.factor + smooth;
    }
  }
  return frequencies;
}

std::vector<float> rope_table(const ModelDescription& description, int positions) {
  const std::vector<double> frequencies = rope_frequencies(description);
  const int high_rows = (positions + kRopeLow - 1) / kRopeLow;
  std::vector<float> table;
  table.reserve(size_t(kRopeLow + high_rows) * frequencies.size() * 2);
  for (int row = 0; row < kRopeLow + high_rows; ++row) {
    const double position = row < kRopeLow ? row : double(row - kRopeLow) * kRopeLow;
    for (const double frequency : frequencies) {
      table.push_back(float(std::cos(position * frequency)));
      table.push_back(float(std::sin(position * frequency)));
    }
  }
  return table;
}

}  // namespace kexa

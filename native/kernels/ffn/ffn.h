// The feed-forward part of a layer: the route and the experts, or the dense FFN.
#pragma once

#include "kernels/ffn/ffn_tiled.h"

namespace kexa {

class Ffn {
 public:
  explicit Ffn(const FfnSources& from);

  // Device::route.
  void run_route(const KernelSet& kernels, const StepRows& rows) const;
  // Device::experts and Device::dense_ffn. A dense FFN is a shared expert without others.
  void run(const KernelSet& kernels, const StepRows& rows) const {
    run_wave(kernels, rows, true);
    finish(kernels, rows);
  }
  // Device::experts for experts that take turns in slots: run_wave() for each wave, then finish().
  void run_wave(const KernelSet& kernels, const StepRows& rows, bool is_last) const;
  void finish(const KernelSet& kernels, const StepRows& rows) const;

 private:
  BoundKernel route_, input_, output_, norm_;
  BoundKernel round_input_, round_inner_;  // only in whole numbers: they make planes for `input_` and `output_`
  FfnTiled for_many_rows_;
};

}  // namespace kexa

// The feed-forward part in large steps: rows are gathered by expert and multiplied in tiles.
#pragma once

#include "kernels/ffn/ffn_sources.h"
#include "kernels/matmul/tile.h"

namespace kexa {

class FfnTiled {
 public:
  FfnTiled() = default;
  explicit FfnTiled(const FfnSources& from);

  // Device::route.
  void run_route(const KernelSet& kernels, int rows) const;
  // Device::experts, after run_route(), or Device::dense_ffn; or one wave of several. The last wave leaves the sum in
  // the buffer that swiglu_output would use.
  void run_wave(const KernelSet& kernels, int rows, bool is_last) const;

 private:
  struct Slice {
    BoundKernel product, sum;
  };

  bool is_moe_ = false;
  int top_k_ = 0, placed_ = 0;  // as FfnSources has them
  int routed_tile_ = 0;         // rows of a tile of a routed expert
  BoundKernel norm_, router_, route_, group_;
  BoundKernel shared_input_, shared_output_, routed_input_;
  std::vector<Slice> routed_output_;
};

}  // namespace kexa

// Products with one weight matrix, and RMSNorm on its own.
#pragma once

#include <array>

#include "kernels/matmul/tile.h"

namespace kexa {

// y = W x, or y += W x, for every row of the step, or for its logit rows alone.
class Matmul {
 public:
  struct Vectors {
    const Buffer* buffer;
    int stride;               // elements of a row
    bool is_element = false;  // E, else f32
    int offset = 0;           // of the first element in a row; y's alone
  };
  struct Options {
    const Buffer* gain = nullptr;  // x is RMS-normalised with it first
    float epsilon = 0;             // of that norm, over the matrix's columns
    bool adds = false;
    bool is_gathered = false;  // the rows of x are those of the step's logit rows
    std::string op{};          // of Device, for tuning
  };
  Matmul() = default;
  Matmul(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const Vectors& x,
         const Vectors& y, const Options& options, const Buffer& empty_buffer);

  void run(const KernelSet& kernels, const StepRows& rows) const;

 private:
  // For steps of up to kFewTiles[i] rows; a row's bits are the same in each.
  std::array<BoundKernel, 3> for_few_rows_;
  // For others; `norm_` fills `branch` first if x is to be normalised, `scales_` then `row_scales` if matrices need it.
  BoundKernel norm_, scales_, for_many_rows_;
};

// y = rms(x) or y += rms(x), rows of `size`, into y from `y_offset` on.
BoundKernel make_rms_norm(KernelSet& kernels, const Buffer& gain, const Buffer& x, const Buffer& y, int size,
                          float epsilon, int y_stride, int y_offset, bool adds, std::string_view op = {});

}  // namespace kexa

// Products with one weight matrix, and RMSNorm by itself.
#pragma once

#include <array>

#include "kernels/matmul/tile.h"

namespace kexa {

// y = W x or y += W x, for every row of the step or only for its logit rows.
class Matmul {
 public:
  struct Vectors {
    const Buffer* buffer;
    int stride;               // elements of a row
    bool is_element = false;  // E; false: f32
    int offset = 0;           // of a row's first element; only for y
  };
  struct Options {
    const Buffer* gain = nullptr;  // if set, x is first RMS-normalised with it
    float epsilon = 0;             // of that norm, which is over the matrix's columns
    bool adds = false;
    bool is_gathered = false;  // x is read only in the step's logit rows
    std::string op{};          // the op of Device, for tuning
  };
  Matmul() = default;
  Matmul(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const Vectors& x,
         const Vectors& y, const Options& options);

  void run(const KernelSet& kernels, const StepRows& rows) const;

 private:
  void make_for_few_rows(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const Vectors& x,
                         const Vectors& y, const Options& options);
  // The same in whole numbers: `round_` makes planes of x, which the products read.
  void make_dots(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const Vectors& x,
                 const Vectors& y, const Options& options);

  // A kernel for steps of up to `rows` rows. A row's bits are the same in each.
  struct FewRows {
    int rows;
    BoundKernel kernel;
  };
  std::array<FewRows, 3> for_few_rows_;
  BoundKernel round_;  // only for weights that are multiplied in whole numbers
  // For larger steps. If x is to be normalised, `norm_` fills `branch` first; if matrices need scales, `scales_` then
  // fills `row_scales`.
  BoundKernel norm_, scales_, for_many_rows_;
};

// Rows in whole numbers, for products that read Activations::planes.
struct Rounding {
  const Buffer& x;
  int stride;                    // elements of a row of x
  bool is_element = false;       // E; false: f32
  int columns;                   // that are rounded, a multiple of 32
  const Buffer* gain = nullptr;  // if set, x is first RMS-normalised with it
  float epsilon = 0;
  bool is_gathered = false;
  std::string_view op{};  // the op of Device, for tuning
};
BoundKernel make_round_rows(KernelSet& kernels, const Activations& activations, const Rounding& rounding);

// y = rms(x), or y += rms(x), for every row.
struct RmsNorm {
  const Buffer& gain;  // [size]
  const Buffer& x;     // [rows, padded(size)]
  const Buffer& y;
  int size;
  float epsilon;
  int y_stride = 0;  // elements of a row of y; 0: padded(size)
  int y_offset = 0;  // where in it the result begins
  bool adds = false;
  std::string_view op{};  // the op of Device, for tuning
};
BoundKernel make_rms_norm(KernelSet& kernels, const RmsNorm& norm);

}  // namespace kexa

#include "kernels/matmul.h"

#include <algorithm>

namespace kexa {
namespace {

constexpr int kTileOutputs = 4;
// Rows that share one reading of the weights. More than the last takes several tiles.
constexpr int kFewTiles[] = {1, 4, 8};

}  // namespace

Matmul::Matmul(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const Vectors& x,
               const Vectors& y, const Options& options, const Buffer& nothing) {
  Prelude prelude = kernels.prelude_of_sums(weight.column_chunks());
  prelude.weights(weight.type)
      .set("OUTPUTS", weight.rows)
      .set("COLUMN_CHUNKS", weight.column_chunks())
      .set("X_STRIDE", x.stride)
      .set("Y_STRIDE", y.stride)
      .alias("X4", x.is_element ? "E4" : "vec4f")
      .alias("Y", y.is_element ? "E" : "f32")
      .set("HAS_NORM", options.gain != nullptr)
      .set("NORM_SIZE", float(weight.columns))
      .set("EPSILON", options.epsilon)
      .set("ADDS", options.adds)
      .set("IS_GATHERED", options.is_gathered)
      .set("TILE_OUTPUTS", kTileOutputs);
  for (size_t i = 0; i < few_.size(); ++i) {
    Prelude tile = prelude;
    tile.set("TILE_ROWS", kFewTiles[i]);
    few_[i] =
        kernels.make_rows_first("multiply", tile,
                                {read(weight.buffer), read(*x.buffer), read(options.gain ? *options.gain : nothing),
                                 read(activations.step), write(*y.buffer)},
                                ceil_div(weight.rows, kTileOutputs), kFewTiles[i]);
  }
  if (kernels.max_rows() <= kSmallRows) return;
  TileRows rows{.buffer = x.buffer, .stride = x.stride, .is_element = x.is_element, .columns = weight.columns};
  if (options.gain) {
    // Every tile would normalise the same rows again.
    norm_ = make_rms_norm(kernels, *options.gain, *x.buffer, activations.branch, weight.columns, options.epsilon,
                          x.stride, 0, false);
    rows.buffer = &activations.branch;
  }
  many_ = make_multiply_tiled(kernels, activations, weight, rows,
                              {.buffer = y.buffer,
                               .stride = y.stride,
                               .is_element = y.is_element,
                               .adds = options.adds,
                               .is_gathered = options.is_gathered},
                              nothing);
}

void Matmul::run(const KernelSet& kernels, int rows) const {
  if (rows > kSmallRows) {
    if (norm_) kernels.run(norm_, rows);
    kernels.run(many_, rows);
    return;
  }
  const auto tile = std::lower_bound(std::begin(kFewTiles), std::end(kFewTiles) - 1, rows) - std::begin(kFewTiles);
  kernels.run(few_[tile], rows);
}

Op make_rms_norm(KernelSet& kernels, const Buffer& gain, const Buffer& x, const Buffer& y, int size, float epsilon,
                 int y_stride, int y_offset, bool adds) {
  Prelude prelude = kernels.prelude_of_sums(padded(size) / 8);
  prelude.set("SIZE", size)
      .set("EPSILON", epsilon)
      .set("X_STRIDE", padded(size))
      .set("Y_STRIDE", y_stride)
      .set("Y_OFFSET", y_offset)
      .set("ADDS", adds);
  return kernels.make("rms_norm", prelude, {read(gain), read(x), write(y)}, 1);
}

}  // namespace kexa

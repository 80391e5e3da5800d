#include "kernels/matmul/matmul.h"

#include <algorithm>

#include "device/ops.h"
#include "kernels/source/dots_layout.h"
#include "kernels/source/weight_units.h"

namespace kexa {
namespace {

constexpr int kTileOutputs = 4;
// Rows that share one reading of the weights. More than 8 rows take several tiles.
constexpr int kFewTiles[] = {1, 4, 8};
// The same in whole numbers, where a row takes more registers.
constexpr int kDotsTiles[] = {1, 2, 4};
// The tile of multiply_matrices, counted in matrices.
constexpr int kMatrixTile = 4;

// The kernel row_scales, which multiply_matrices needs if x is not in f16 yet.
BoundKernel make_row_scales(KernelSet& kernels, const Activations& activations, const TileRows& x, bool is_gathered) {
  Prelude prelude = kernels.prelude();
  prelude.alias("X4", x.is_element ? "E4" : "vec4f")
      .set("CHUNKS", padded(x.columns) / 8)
      .set("X_STRIDE", x.stride)
      .set("IS_GATHERED", is_gathered);
  return kernels.make("row_scales", prelude, {read(*x.buffer), read(activations.step), write(activations.row_scales)},
                      1);
}

BoundKernel make_multiply_matrices(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight,
                                   const TileRows& x, const TiledOutput& y, bool has_scales) {
  const MatrixKernels& matrices = *kernels.choice().matrices;
  Prelude prelude = kernels.prelude();
  prelude.enable("f16")
      .enable("chromium_experimental_subgroup_matrix")
      .weights(weight.type)
      .alias("X4", x.is_element ? "E4" : "vec4f")
      .alias("Y", y.is_element ? "E" : "f32")
      .set("MATRIX_M", matrices.m)
      .set("MATRIX_N", matrices.n)
      .set("MATRIX_K", matrices.k)
      .set("THREADS", matrices.threads)
      .set("OUTPUTS", weight.rows)
      .reads("weight", weight.type, weight.columns)
      .set("COLUMN_CHUNKS", weight.column_chunks())
      .set("ROW_WORDS", weight.row_words())
      .set("X_STRIDE", x.stride)
      .set("Y_STRIDE", y.stride)
      .set("Y_OFFSET", y.offset)
      .set("HAS_SCALES", has_scales)
      .set("ADDS", y.adds)
      .set("IS_GATHERED", y.is_gathered);
  return kernels.make_rows_first(
      "multiply_matrices", prelude,
      {read(weight.buffer), read(*x.buffer), read(has_scales ? activations.row_scales : kernels.empty_buffer()),
       read(activations.step), write(*y.buffer)},
      ceil_div(weight.rows, kMatrixTile * matrices.n), kMatrixTile * matrices.m);
}

}  // namespace

Matmul::Matmul(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const Vectors& x,
               const Vectors& y, const Options& options) {
  if (kernels.choice().has_dots && takes_dots(weight.type))
    make_dots(kernels, activations, weight, x, y, options);
  else
    make_for_few_rows(kernels, activations, weight, x, y, options);
  TileRows rows{.buffer = x.buffer, .stride = x.stride, .is_element = x.is_element, .columns = weight.columns};
  if (options.gain) {
    // Normalises x once. Inside the product, every tile would normalise the same rows again.
    const std::string op = options.op + std::string(kLargeSuffix);
    norm_ = make_rms_norm(kernels, {.gain = *options.gain,
                                    .x = *x.buffer,
                                    .y = activations.branch,
                                    .size = weight.columns,
                                    .epsilon = options.epsilon,
                                    .y_stride = x.stride,
                                    .op = op});
    rows.buffer = &activations.branch;
  }
  const TiledOutput output{.buffer = y.buffer,
                           .stride = y.stride,
                           .offset = y.offset,
                           .is_element = y.is_element,
                           .adds = options.adds,
                           .is_gathered = options.is_gathered};
  if (!kernels.choice().matrices) {
    for_many_rows_ = make_multiply_tiled(kernels, activations, weight, rows, output);
    return;
  }
  const bool has_scales = !(rows.is_element && kernels.choice().has_f16_elements);
  if (has_scales) scales_ = make_row_scales(kernels, activations, rows, options.is_gathered);
  for_many_rows_ = make_multiply_matrices(kernels, activations, weight, rows, output, has_scales);
}

void Matmul::make_for_few_rows(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight,
                               const Vectors& x, const Vectors& y, const Options& options) {
  Prelude prelude = kernels.prelude_of_sums(weight_units(weight.type, weight.columns).count, options.op);
  prelude.weights(weight.type)
      .set("OUTPUTS", weight.rows)
      .reads("weight", weight.type, weight.columns)
      .set("ROW_WORDS", weight.row_words())
      .set("X_STRIDE", x.stride)
      .set("Y_STRIDE", y.stride)
      .set("Y_OFFSET", y.offset)
      .alias("X4", x.is_element ? "E4" : "vec4f")
      .alias("Y", y.is_element ? "E" : "f32")
      .set("HAS_NORM", options.gain != nullptr)
      .set("NORM_SIZE", float(weight.columns))
      .set("EPSILON", options.epsilon)
      .set("ADDS", options.adds)
      .set("IS_GATHERED", options.is_gathered)
      .set("TILE_OUTPUTS", kTileOutputs);
  for (size_t i = 0; i < for_few_rows_.size(); ++i) {
    Prelude tile = prelude;
    tile.set("TILE_ROWS", kFewTiles[i]);
    for_few_rows_[i] = {kFewTiles[i],
                        kernels.make_rows_first("multiply", tile,
                                                {read(weight.buffer), read(*x.buffer),
                                                 read(options.gain ? *options.gain : kernels.empty_buffer()),
                                                 read(activations.step), write(*y.buffer)},
                                                ceil_div(weight.rows, kTileOutputs), kFewTiles[i])};
  }
}

void Matmul::make_dots(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const Vectors& x,
                       const Vectors& y, const Options& options) {
  round_ = make_round_rows(kernels, activations,
                           {.x = *x.buffer,
                            .stride = x.stride,
                            .is_element = x.is_element,
                            .columns = weight.columns,
                            .gain = options.gain,
                            .epsilon = options.epsilon,
                            .is_gathered = options.is_gathered,
                            .op = options.op});
  Prelude prelude = kernels.prelude_of_teams(options.op);
  prelude.set("INPUT_BLOCKS", weight.columns / 32)
      .sums_blocks("weight", weight.type, weight.columns)
      .prepares_dots({weight.type})
      .set("OUTPUTS", weight.rows)
      .set("ROW_WORDS", weight.row_words())
      .set("Y_STRIDE", y.stride)
      .set("Y_OFFSET", y.offset)
      .alias("Y", y.is_element ? "E" : "f32")
      .set("ADDS", options.adds)
      .set("IS_GATHERED", options.is_gathered);
  for (size_t i = 0; i < for_few_rows_.size(); ++i) {
    Prelude tile = prelude;
    tile.set("TILE_ROWS", kDotsTiles[i]);
    for_few_rows_[i] = {kDotsTiles[i], kernels.make_rows_first(
                                           "multiply_dots", tile,
                                           {read(weight.buffer), read(activations.planes),
                                            read(activations.plane_scales), read(activations.step), write(*y.buffer)},
                                           ceil_div(weight.rows, kTileOutputs * kernels.teams()), kDotsTiles[i])};
  }
}

void Matmul::run(const KernelSet& kernels, const StepRows& rows) const {
  if (rows.is_large) {
    if (norm_) kernels.run(norm_, rows.count);
    if (scales_) kernels.run(scales_, rows.count);
    kernels.run(for_many_rows_, rows.count);
    return;
  }
  if (round_) kernels.run(round_, rows.count);
  const auto tile = std::find_if(for_few_rows_.begin(), for_few_rows_.end() - 1,
                                 [&](const FewRows& few) { return rows.count <= few.rows; });
  kernels.run(tile->kernel, rows.count);
}

BoundKernel make_round_rows(KernelSet& kernels, const Activations& activations, const Rounding& rounding) {
  const int blocks = rounding.columns / 32;
  const bool has_norm = rounding.gain != nullptr;
  // With a norm a workgroup makes the whole row, a thread one block at a time. Else a row has several workgroups.
  Prelude prelude = kernels.prelude_of_sums(has_norm ? blocks : 32, rounding.op);
  prelude.require("packed_4x8_integer_dot_product");
  prelude.alias("X4", rounding.is_element ? "E4" : "vec4f")
      .set("BLOCKS", blocks)
      .set("X_STRIDE", rounding.stride)
      .set("HAS_NORM", has_norm)
      .set("NORM_SIZE", float(rounding.columns))
      .set("EPSILON", rounding.epsilon)
      .set("IS_GATHERED", rounding.is_gathered);
  return kernels.make_rows_first("round_rows", prelude,
                                 {read(rounding.x), read(has_norm ? *rounding.gain : kernels.empty_buffer()),
                                  read(activations.step), write(activations.planes), write(activations.plane_scales)},
                                 has_norm ? 1 : ceil_div(blocks, 32));
}

BoundKernel make_rms_norm(KernelSet& kernels, const RmsNorm& norm) {
  Prelude prelude = kernels.prelude_of_sums(padded(norm.size) / 8, norm.op);
  prelude.set("SIZE", norm.size)
      .set("EPSILON", norm.epsilon)
      .set("X_STRIDE", padded(norm.size))
      .set("Y_STRIDE", norm.y_stride ? norm.y_stride : padded(norm.size))
      .set("Y_OFFSET", norm.y_offset)
      .set("ADDS", norm.adds);
  return kernels.make("rms_norm", prelude, {read(norm.gain), read(norm.x), write(norm.y)}, 1);
}

}  // namespace kexa

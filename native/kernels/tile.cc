#include "kernels/tile.h"

namespace kexa {

Prelude tile_prelude(const KernelSet& kernels, Type weight_type, const TileRows& x, int tile_rows, int parts) {
  Prelude prelude = kernels.prelude();
  prelude.weights(weight_type)
      .reads("weight", weight_type, x.columns, parts)
      .set("ROW_WORDS", int(gpu_row_bytes(weight_type, x.columns) / 16))
      .alias("X4", x.is_element ? "E4" : "vec4f")
      .set("COLUMN_CHUNKS", padded(x.columns) / 8)
      .set("X_STRIDE", x.stride)
      .set("X_VECTORS", x.vectors)
      .set("X_VECTOR_STRIDE", x.vector_stride)
      .set("X_OFFSET", x.offset)
      .set("TILE_ROWS", tile_rows)
      .include("tile");
  return prelude;
}

Op make_multiply_tiled(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const TileRows& x,
                       const TiledOutput& y, const Buffer& nothing) {
  const int rows = tile_rows(kernels.max_rows());
  Prelude prelude = tile_prelude(kernels, weight.type, x, rows);
  prelude.alias("Y", y.is_element ? "E" : "f32")
      .set("OUTPUTS", weight.rows)
      .set("Y_STRIDE", y.stride)
      .set("Y_OFFSET", y.offset)
      .set("ADDS", y.adds)
      .set("IS_GATHERED", y.is_gathered);
  return kernels.make_rows_first(
      "multiply_tiled", prelude,
      {read(weight.buffer), read(*x.buffer), read(nothing), read(activations.step), write(*y.buffer)},
      ceil_div(weight.rows, kTileColumns), rows);
}

}  // namespace kexa

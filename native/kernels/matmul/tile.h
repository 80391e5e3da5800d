// Products of tiles of rows, for large steps. Each weight is read once for a tile of rows.
#pragma once

#include "kernels/buffers/activations.h"

namespace kexa {

// Outputs of a tile (TILE_COLUMNS of tile.wgsl).
constexpr int kTileColumns = 64;

// Where the rows of a product's input x lie.
struct TileRows {
  const Buffer* buffer;
  int stride;               // elements of a row
  bool is_element = false;  // E; false: f32
  int columns = 0;          // of one vector
  // Vectors in a row of x, and the distance (elements) between two of them.
  int vectors = 1, vector_stride = 0;
  int offset = 0;  // of the row's first vector (elements)
};

// The constants and text that tile.wgsl needs in front of a kernel whose name ends in _tiled, except those of
// read_tile().
Prelude tile_prelude(const KernelSet& kernels, const TileRows& x, int tile_rows);

// Declares how a tile reads its weights: rows of `columns` weights of one type, in `parts` parts. Sets ROW_WORDS too.
void read_tile(Prelude& prelude, Type type, int columns, int parts = 1);
// For rows of gate and up, which may differ in type. The first two of every four columns are gates, the others ups.
void read_tile(Prelude& prelude, const InputTypes& types, int columns, int parts);

// Where multiply_tiled writes its products. `is_element`: as E; else as f32.
struct TiledOutput {
  const Buffer* buffer;
  int stride, offset = 0;
  bool is_element = false, adds = false, is_gathered = false;
};
BoundKernel make_multiply_tiled(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight,
                                const TileRows& x, const TiledOutput& y);

// Rows of a tile, for steps of up to `rows` rows.
constexpr int tile_rows(int rows) { return rows <= 40 ? 32 : 64; }

}  // namespace kexa

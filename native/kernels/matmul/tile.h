// Products of tiles of rows, for large steps: each weight is read once for a tile of rows.
#pragma once

#include "kernels/buffers/activations.h"

namespace kexa {

// Outputs of a tile (TILE_COLUMNS of tile.wgsl).
constexpr int kTileColumns = 64;

// Where the rows of a product's x stand.
struct TileRows {
  const Buffer* buffer;
  int stride;                          // elements of a row
  bool is_element = false;             // E, else f32
  int columns = 0;                     // of a vector
  int vectors = 1, vector_stride = 0;  // vectors in a row of x, and how far apart
  int offset = 0;                      // of the first
};

// The constants and the text that tile.wgsl needs before a kernel that ends in _tiled: all but what read_tile() adds.
Prelude tile_prelude(const KernelSet& kernels, const TileRows& x, int tile_rows);

// How a tile's weights are read: rows of `columns` weights of one type, in `parts` parts; and their ROW_WORDS.
void read_tile(Prelude& prelude, Type type, int columns, int parts = 1);
// Where they may be of two types: of four columns side by side the first two are gates, the others ups.
void read_tile(Prelude& prelude, const InputTypes& types, int columns, int parts);

// Where multiply_tiled writes its products. `is_element`: as E; else as f32.
struct TiledOutput {
  const Buffer* buffer;
  int stride, offset = 0;
  bool is_element = false, adds = false, is_gathered = false;
};
BoundKernel make_multiply_tiled(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight,
                                const TileRows& x, const TiledOutput& y, const Buffer& empty_buffer);

// Rows of a tile in steps of up to `rows` rows.
constexpr int tile_rows(int rows) { return rows <= 40 ? 32 : 64; }

}  // namespace kexa

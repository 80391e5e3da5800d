#include "kernels/matmul/tile.h"

#include <algorithm>
#include <utility>

#include "kernels/source/weight_units.h"

namespace kexa {

void read_tile(Prelude& prelude, Type type, int columns, int parts) {
  prelude.weights(type).reads("weight", type, columns, parts).set("ROW_WORDS", gpu_row_words(type, columns));
  prelude
      .over_parts("weight", parts, "load_weight(place: u32, at: u32, chunk: u32, i: u32) -> vec4u",
                  "return BUFFER_word(at, chunk, i);")
      .declare("fn weight_low(place: u32, word: vec4u) -> vec4f { return low(word); }\n")
      .declare("fn weight_high(place: u32, word: vec4u) -> vec4f { return high(word); }\n");
}

void read_tile(Prelude& prelude, const InputTypes& types, int columns, int parts) {
  if (types.are_alike()) return read_tile(prelude, types.gate, columns, parts);
  for (const auto& [name, type] : {std::pair{"gate", types.gate}, {"up", types.up}}) {
    const std::string kind = name + std::string("_");
    prelude.weights(kind, type)
        .reads(name, type, columns, parts, kind, "weight")
        .over_parts(name, parts, "load_" + std::string(name) + "(at: u32, chunk: u32, i: u32) -> vec4u",
                    "return BUFFER_word(at, chunk, i);");
  }
  // If only one of the two types takes two words, the other type's second word is its first again.
  prelude.set("CHUNK_WORDS", std::max(chunk_words(types.gate), chunk_words(types.up)))
      .declare(R"(fn load_weight(place: u32, at: u32, chunk: u32, i: u32) -> vec4u {
  if (place < 2u) { return load_gate(at, chunk, i); }
  return load_up(at, chunk, i);
}
fn weight_low(place: u32, word: vec4u) -> vec4f {
  if (place < 2u) { return gate_low(word); }
  return up_low(word);
}
fn weight_high(place: u32, word: vec4u) -> vec4f {
  if (place < 2u) { return gate_high(word); }
  return up_high(word);
}
)");
}

Prelude tile_prelude(const KernelSet& kernels, const TileRows& x, int tile_rows) {
  Prelude prelude = kernels.prelude();
  prelude.alias("X4", x.is_element ? "E4" : "vec4f")
      .set("COLUMN_CHUNKS", padded(x.columns) / 8)
      .set("X_STRIDE", x.stride)
      .set("X_VECTORS", x.vectors)
      .set("X_VECTOR_STRIDE", x.vector_stride)
      .set("X_OFFSET", x.offset)
      .set("TILE_ROWS", tile_rows)
      .include("tile");
  return prelude;
}

BoundKernel make_multiply_tiled(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight,
                                const TileRows& x, const TiledOutput& y) {
  const int rows = tile_rows(kernels.max_rows());
  Prelude prelude = tile_prelude(kernels, x, rows);
  read_tile(prelude, weight.type, x.columns);
  prelude.alias("Y", y.is_element ? "E" : "f32")
      .set("OUTPUTS", weight.rows)
      .set("Y_STRIDE", y.stride)
      .set("Y_OFFSET", y.offset)
      .set("ADDS", y.adds)
      .set("IS_GATHERED", y.is_gathered);
  return kernels.make_rows_first(
      "multiply_tiled", prelude,
      {read(weight.buffer), read(*x.buffer), read(kernels.empty_buffer()), read(activations.step), write(*y.buffer)},
      ceil_div(weight.rows, kTileColumns), rows);
}

}  // namespace kexa

// swiglu_output_tiled: the down projections of all rows that chose an expert, for a slice of the outputs. swiglu_sum
// weights and sums them.
// dispatch  tiles of group_rows, ceil(SLICE / TILE_COLUMNS)
// weight    [EXPERTS, OUTPUTS, COLUMN_CHUNKS] chunks, the first part; `part` tells which part is read
// x         inner [rows, X_STRIDE], the output of swiglu_input_tiled; a row's choices are X_VECTOR_STRIDE apart
// tiles, choices  the output of group_rows
// y         [rows, TOP_K, SLICE] out: the outputs from FIRST_OUTPUT on
// matches   the CPU's add_down without weights, to 1e-5
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<X4>;
@group(0) @binding(2) var<storage, read> x_scales: array<f32>;
@group(0) @binding(3) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(4) var<storage, read> choices: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

var<private> tile: vec4u;
var<private> part: u32;
var<private> first_output: u32;

@compute @workgroup_size(TILE_THREADS)
fn swiglu_output_tiled(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let own = tiles[group.x];
  if (own.z == 0u) { return; }
  tile = own;
  part = part_of(own.x);
  first_output = group.y * TILE_COLUMNS;
  tile_product(thread);
}

fn weight_at(column: u32) -> u32 {
  return (place_in_part(tile.x) * OUTPUTS + FIRST_OUTPUT + min(first_output + column, SLICE - 1u)) * ROW_WORDS;
}

fn x_vector(row: u32) -> u32 { return choices[tile.y + min(row, tile.z - 1u)]; }

fn row_count() -> u32 { return tile.z; }

fn store(row: u32, column: u32, values: vec4f) {
  if (row >= tile.z) { return; }
  let to = choices[tile.y + row] * SLICE + first_output + column;
  for (var i = 0u; i < 4u; i++) {
    if (first_output + column + i < SLICE) { y[to + i] = values[i]; }
  }
}

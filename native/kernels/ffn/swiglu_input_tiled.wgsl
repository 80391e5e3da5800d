// swiglu_input_tiled: silu(gate x) * (up x) for large steps; swiglu_input serves small ones. With IS_ROUTED it computes
// the rows that chose an expert, else all rows for the shared expert. A tile's columns are two gates, their two ups,
// and so on.
// dispatch  tiles of group_rows, ceil(WIDTH / 32); without IS_ROUTED: ceil(rows / TILE_ROWS), ceil(WIDTH / 32)
// weight    [EXPERTS or 1, 2, WIDTH, COLUMN_CHUNKS] chunks, the first part: gate rows of GATE_ROW_WORDS, then up rows
// of
//           UP_ROW_WORDS, which may be of another type; `part` tells which part is read
// x         [rows, X_STRIDE], normalised already
// step      step state: the number of rows
// tiles, choices  the output of group_rows, read with IS_ROUTED
// inner     [rows, INNER_STRIDE] out, from INNER_OFFSET on; a row's choices are WIDTH_STRIDE apart
// matches   the CPU's gate_and_up, to 1e-5
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<X4>;
@group(0) @binding(2) var<storage, read> x_scales: array<f32>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(5) var<storage, read> choices: array<u32>;
@group(0) @binding(6) var<storage, read_write> inner: array<E>;

var<private> part: u32;
var<private> place: u32;
var<private> first: u32;
var<private> count: u32;
var<private> first_output: u32;

@compute @workgroup_size(TILE_THREADS)
fn swiglu_input_tiled(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  first_output = group.y * (TILE_COLUMNS / 2u);
  if (IS_ROUTED) {
    let tile = tiles[group.x];
    if (tile.z == 0u) { return; }
    part = part_of(tile.x);
    place = place_in_part(tile.x);
    first = tile.y;
    count = tile.z;
  } else {
    first = group.x * TILE_ROWS;
    count = min(TILE_ROWS, step[STEP_ROW_COUNT] - first);
  }
  tile_product(thread);
}

fn is_up(column: u32) -> bool { return column / 2u % 2u == 1u; }

fn weight_at(column: u32) -> u32 {
  let output = min(first_output + column / 4u * 2u + column % 2u, WIDTH - 1u);
  let gates_at = place * (GATE_ROW_WORDS + UP_ROW_WORDS) * WIDTH;
  if (is_up(column)) { return gates_at + WIDTH * GATE_ROW_WORDS + output * UP_ROW_WORDS; }
  return gates_at + output * GATE_ROW_WORDS;
}

fn choice_of(row: u32) -> u32 {
  let own = first + min(row, count - 1u);
  if (IS_ROUTED) { return choices[own]; }
  return own;
}

fn x_vector(row: u32) -> u32 { return choice_of(row) / CHOICES; }

fn row_count() -> u32 { return count; }

fn store(row: u32, column: u32, values: vec4f) {
  if (row >= count) { return; }
  let choice = choice_of(row);
  let to = choice / CHOICES * INNER_STRIDE + choice % CHOICES * WIDTH_STRIDE + INNER_OFFSET;
  let output = first_output + column / 2u;
  if (output < WIDTH) { inner[to + output] = E(swiglu(values.x, values.z)); }
  if (output + 1u < WIDTH) { inner[to + output + 1u] = E(swiglu(values.y, values.w)); }
}

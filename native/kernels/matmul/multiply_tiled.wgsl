// multiply_tiled: y = W x or y += W x for large steps; multiply serves small ones.
// dispatch  ceil(rows / TILE_ROWS), ceil(OUTPUTS / TILE_COLUMNS)
// weight    [OUTPUTS, COLUMN_CHUNKS] chunks
// x         [rows, X_STRIDE], read from X_OFFSET on
// step      step state: the number of rows; with IS_GATHERED, which rows of x
// y         [rows, Y_STRIDE], written from Y_OFFSET on; with ADDS also read
// matches   the CPU's multiply, to 1e-5
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<X4>;
@group(0) @binding(2) var<storage, read> x_scales: array<f32>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<Y>;

var<private> rows: u32;
var<private> first_row: u32;
var<private> first_output: u32;

@compute @workgroup_size(TILE_THREADS)
fn multiply_tiled(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  rows = step[select(STEP_ROW_COUNT, STEP_LOGIT_COUNT, IS_GATHERED)];
  first_row = group.x * TILE_ROWS;
  first_output = group.y * TILE_COLUMNS;
  tile_product(thread);
}

fn weight_at(column: u32) -> u32 { return min(first_output + column, OUTPUTS - 1u) * ROW_WORDS; }

fn x_vector(row: u32) -> u32 {
  let own = min(first_row + row, rows - 1u);
  if (IS_GATHERED) { return step[step[STEP_GATHERED] + own]; }
  return own;
}

fn row_count() -> u32 { return rows - first_row; }

fn store(row: u32, column: u32, values: vec4f) {
  if (first_row + row >= rows) { return; }
  for (var i = 0u; i < 4u; i++) {
    let output = first_output + column + i;
    if (output < OUTPUTS) {
      let to = (first_row + row) * Y_STRIDE + Y_OFFSET + output;
      var value = values[i];
      if (ADDS) { value += f32(y[to]); }
      y[to] = Y(value);
    }
  }
}

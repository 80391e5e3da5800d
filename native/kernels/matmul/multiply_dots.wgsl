// multiply_dots: y = W x or y += W x for a tile of rows in whole numbers; multiply is the same in f32. A team of LANES
// threads owns four outputs over all columns, and decodes a weight once for the tile's rows.
// dispatch  ceil(rows / TILE_ROWS), ceil(OUTPUTS / (TEAMS * 4))
// weight    [OUTPUTS, WEIGHT_BLOCKS] blocks of 32 (dots_layout.h)
// planes, scales  the rows, from round_rows
// step      step state: the number of rows
// y         [rows, Y_STRIDE], written from Y_OFFSET on; with ADDS also read
// matches   the CPU's multiply of the rounded rows, to 1e-5; a row's result depends neither on other rows nor on TILE_ROWS
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> planes: array<vec4u>;
@group(0) @binding(2) var<storage, read> scales: array<vec2f>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<Y>;

const TEAMS = THREADS / LANES;

@compute @workgroup_size(THREADS)
fn multiply_dots(at: Invocation) {
  prepare_dots(at.thread);
  let rows = step[select(STEP_ROW_COUNT, STEP_LOGIT_COUNT, IS_GATHERED)];
  let first_row = at.group.x * TILE_ROWS;
  let lane = at.thread % LANES;
  let first_output = (at.group.y * TEAMS + at.thread / LANES) * 4u;
  // A place past the last row or output computes the last one again, and stores nothing.
  var x_at: array<u32, TILE_ROWS>;
  for (var r = 0u; r < TILE_ROWS; r++) { x_at[r] = min(first_row + r, rows - 1u); }
  var weight_at: array<u32, 4>;
  for (var o = 0u; o < 4u; o++) { weight_at[o] = min(first_output + o, OUTPUTS - 1u) * ROW_WORDS; }
  var sums: array<vec4f, TILE_ROWS>;
  sum_weight(lane, 0u, &weight_at, &x_at, &sums);
  let output = first_output + lane / (LANES / 4u);
  for (var r = 0u; r < TILE_ROWS; r++) {
    let total = team_sum(at.thread, sums[r]);
    if (lane % (LANES / 4u) == 0u && output < OUTPUTS && first_row + r < rows) {
      let to = (first_row + r) * Y_STRIDE + Y_OFFSET + output;
      var value = total;
      if (ADDS) { value += f32(y[to]); }
      y[to] = Y(value);
    }
  }
}

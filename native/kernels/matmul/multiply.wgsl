// multiply: y = W x or y += W x for a tile of rows and outputs; x may be RMS-normalised first. Each weight is read once
// for all rows of the tile. Tiles of the same outputs run next to each other, so that caches serve the later ones.
// dispatch  ceil(rows / TILE_ROWS), ceil(OUTPUTS / TILE_OUTPUTS)
// weight    [OUTPUTS, WEIGHT_UNITS] units
// x         [rows, X_STRIDE]
// gain      [X_STRIDE]; with HAS_NORM x becomes x * gain / sqrt(mean(x^2) + EPSILON)
// step      step state: the number of rows; with IS_GATHERED, which rows of x
// y         [rows, Y_STRIDE], written from Y_OFFSET on; with ADDS also read
// matches   the CPU's multiply and normalize, to 1e-5; a row's result depends neither on other rows nor on TILE_ROWS
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<X4>;
@group(0) @binding(2) var<storage, read> gain: array<vec4f>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<Y>;

// The sums are the products, then the sum of squares of each row.
const PRODUCTS = TILE_OUTPUTS * TILE_ROWS;
const SUMS = PRODUCTS + TILE_ROWS;

@compute @workgroup_size(THREADS)
fn multiply(at: Invocation) {
  let rows = step[select(STEP_ROW_COUNT, STEP_LOGIT_COUNT, IS_GATHERED)];
  let first_row = at.group.x * TILE_ROWS;
  let first_output = at.group.y * TILE_OUTPUTS;
  var x_at: array<u32, TILE_ROWS>;
  for (var r = 0u; r < TILE_ROWS; r++) {
    // A place past the last row computes the last row again, and stores nothing.
    var row = min(first_row + r, rows - 1u);
    if (IS_GATHERED) { row = step[step[STEP_GATHERED] + row]; }
    x_at[r] = row * (X_STRIDE / 4u);
  }
  var weight_at: array<u32, TILE_OUTPUTS>;
  for (var o = 0u; o < TILE_OUTPUTS; o++) {
    weight_at[o] = min(first_output + o, OUTPUTS - 1u) * ROW_WORDS;
  }
  var sums: array<f32, SUMS>;
  for (var unit = at.thread; unit < WEIGHT_UNITS; unit += THREADS) {
    // All loads of weights come before the first use, so that all of them are under way at once.
    var units: array<weight_Unit, TILE_OUTPUTS>;
    for (var o = 0u; o < TILE_OUTPUTS; o++) { units[o] = weight_unit(weight_at[o], unit); }
    for (var k = 0u; k < WEIGHT_UNIT_CHUNKS; k++) {
      let chunk = weight_chunk(unit, k);
      var w: array<array<vec4f, 2>, TILE_OUTPUTS>;
      for (var o = 0u; o < TILE_OUTPUTS; o++) { w[o] = weight_values(units[o], unit, k); }
      for (var r = 0u; r < TILE_ROWS; r++) {
        var a = vec4f(x[x_at[r] + chunk * 2u]);
        var b = vec4f(x[x_at[r] + chunk * 2u + 1u]);
        if (HAS_NORM) {
          sums[PRODUCTS + r] = add_product(sums[PRODUCTS + r], a, b, a, b);
          a *= gain[chunk * 2u];
          b *= gain[chunk * 2u + 1u];
        }
        for (var o = 0u; o < TILE_OUTPUTS; o++) {
          let i = o * TILE_ROWS + r;
          sums[i] = add_product(sums[i], w[o][0], w[o][1], a, b);
        }
      }
    }
  }
  workgroup_sums(at, &sums);
  for (var i = at.thread; i < PRODUCTS; i += THREADS) {
    let row = first_row + i % TILE_ROWS;
    let output = first_output + i / TILE_ROWS;
    if (row < rows && output < OUTPUTS) {
      var value = totals[i];
      if (HAS_NORM) { value *= inverseSqrt(totals[PRODUCTS + i % TILE_ROWS] / NORM_SIZE + EPSILON); }
      let to = row * Y_STRIDE + Y_OFFSET + output;
      if (ADDS) { value += f32(y[to]); }
      y[to] = Y(value);
    }
  }
}

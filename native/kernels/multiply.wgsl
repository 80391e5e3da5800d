// multiply: y = W x, y += W x, or either of the RMS-normalised x, for a tile of rows and outputs.
// dispatch  ceil(OUTPUTS / TILE_OUTPUTS), ceil(rows / TILE_ROWS)
// weight    [OUTPUTS, COLUMN_CHUNKS] chunks
// x         [rows, X_STRIDE]
// gain      [X_STRIDE], read if HAS_NORM: x * gain / sqrt(mean(x^2) + EPSILON)
// step      step state: the number of rows, or with IS_GATHERED which rows of x
// y         [rows, Y_STRIDE] out, or in and out if ADDS
// matches   reference: multiply and normalize, to 1e-5; a row's result does not depend on the other rows
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<X4>;
@group(0) @binding(2) var<storage, read> gain: array<vec4f>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<Y>;

const SUMS = TILE_OUTPUTS * TILE_ROWS + TILE_ROWS;
var<workgroup> partial: array<f32, THREADS * SUMS>;
var<workgroup> total: array<f32, SUMS>;

@compute @workgroup_size(THREADS)
fn multiply(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let rows = step[select(STEP_ROW_COUNT, STEP_LOGIT_COUNT, IS_GATHERED)];
  var origin: array<u32, TILE_ROWS>;
  for (var r = 0u; r < TILE_ROWS; r++) {
    // Past the last row the last one is computed again, and not stored.
    let row = min(group.y * TILE_ROWS + r, rows - 1u);
    origin[r] = row;
    if (IS_GATHERED) { origin[r] = step[STEP_LOGIT_ROWS + row]; }
  }
  var sums: array<f32, SUMS>;
  for (var chunk = thread; chunk < COLUMN_CHUNKS; chunk += THREADS) {
    var a: array<vec4f, TILE_ROWS>;
    var b: array<vec4f, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
      let at = origin[r] * (X_STRIDE / 4u) + chunk * 2u;
      a[r] = vec4f(x[at]);
      b[r] = vec4f(x[at + 1u]);
      if (HAS_NORM) {
        sums[TILE_OUTPUTS * TILE_ROWS + r] += dot(a[r], a[r]) + dot(b[r], b[r]);
        a[r] *= gain[chunk * 2u];
        b[r] *= gain[chunk * 2u + 1u];
      }
    }
    for (var o = 0u; o < TILE_OUTPUTS; o++) {
      let output = min(group.x * TILE_OUTPUTS + o, OUTPUTS - 1u);
      let at = (output * COLUMN_CHUNKS + chunk) * CHUNK_WORDS;
      let w_low = low(weight[at]);
      let w_high = high(weight[at + CHUNK_WORDS - 1u]);
      for (var r = 0u; r < TILE_ROWS; r++) {
        sums[o * TILE_ROWS + r] += dot(w_low, a[r]) + dot(w_high, b[r]);
      }
    }
  }
  for (var i = 0u; i < SUMS; i++) { partial[thread * SUMS + i] = sums[i]; }
  workgroupBarrier();
  if (thread < SUMS) {
    var sum = 0.0;
    for (var other = 0u; other < THREADS; other++) { sum += partial[other * SUMS + thread]; }
    total[thread] = sum;
  }
  workgroupBarrier();
  let row = group.y * TILE_ROWS + thread % TILE_ROWS;
  let output = group.x * TILE_OUTPUTS + thread / TILE_ROWS;
  if (thread < TILE_OUTPUTS * TILE_ROWS && row < rows && output < OUTPUTS) {
    var value = total[thread];
    if (HAS_NORM) {
      value *= inverseSqrt(total[TILE_OUTPUTS * TILE_ROWS + thread % TILE_ROWS] / NORM_SIZE + EPSILON);
    }
    let to = row * Y_STRIDE + output;
    if (ADDS) { value += f32(y[to]); }
    y[to] = Y(value);
  }
}

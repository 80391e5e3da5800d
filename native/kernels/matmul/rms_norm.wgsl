// rms_norm: y = gain * x / sqrt(mean(x^2) + EPSILON), or with ADDS y += that.
// dispatch  1, rows
// gain      [SIZE]
// x         [rows, X_STRIDE]
// y         [rows, Y_STRIDE], written from Y_OFFSET on; with ADDS also read
// matches   the CPU's normalize, to 1e-6
@group(0) @binding(0) var<storage, read> gain: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const SUMS = 1u;

@compute @workgroup_size(THREADS)
fn rms_norm(at: Invocation) {
  let start = at.group.y * X_STRIDE;
  var square: array<f32, SUMS>;
  for (var i = at.thread; i < SIZE; i += THREADS) { square[0] = multiply_add(x[start + i], x[start + i], square[0]); }
  workgroup_sums(at, &square);
  let scale = inverseSqrt(totals[0] / f32(SIZE) + EPSILON);
  for (var i = at.thread; i < SIZE; i += THREADS) {
    let to = at.group.y * Y_STRIDE + Y_OFFSET + i;
    var value = x[start + i] * scale * gain[i];
    if (ADDS) { value += y[to]; }
    y[to] = value;
  }
}

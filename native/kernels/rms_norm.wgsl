// rms_norm: y = gain * x / sqrt(mean(x^2) + EPSILON), or y += that.
// dispatch  1, rows
// gain      [SIZE]
// x         [rows, X_STRIDE]
// y         [rows, Y_STRIDE], from Y_OFFSET on; out, or in and out if ADDS
// matches   reference: normalize, to 1e-6
@group(0) @binding(0) var<storage, read> gain: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> squares: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn rms_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let origin = group.y * X_STRIDE;
  var square = 0.0;
  for (var i = thread; i < SIZE; i += THREADS) { square += x[origin + i] * x[origin + i]; }
  squares[thread] = square;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < THREADS; i++) { sum += squares[i]; }
  let scale = inverseSqrt(sum / f32(SIZE) + EPSILON);
  for (var i = thread; i < SIZE; i += THREADS) {
    let to = group.y * Y_STRIDE + Y_OFFSET + i;
    var value = x[origin + i] * scale * gain[i];
    if (ADDS) { value += y[to]; }
    y[to] = value;
  }
}

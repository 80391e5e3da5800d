// row_scales: for each row of x, the power of two that brings the row's largest magnitude into [2^14, 2^15). So the row
// keeps as many bits as f16 can hold, and rounding stays far below 65504, f16's largest.
// dispatch  1, rows
// x         [rows, X_STRIDE]; the first CHUNKS chunks of eight are read
// step      step state; with IS_GATHERED it tells which rows of x
// scales    [rows], out; a scale and its inverse are exact; 2^126 for rows of almost zero
@group(0) @binding(0) var<storage, read> x: array<X4>;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;

const THREADS = 128u;
// Exponent fields of f32: 127 + 14 for the wanted exponent, and 127 more because the fields of v and 2^n / v add up so.
const WANTED = 127u + 14u + 127u;

// The bits of magnitudes have the same order as the magnitudes.
var<workgroup> largest: atomic<u32>;

@compute @workgroup_size(THREADS)
fn row_scales(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  if (thread == 0u) { atomicStore(&largest, 0u); }
  var row = group.y;
  if (IS_GATHERED) { row = step[step[STEP_GATHERED] + row]; }
  var own = vec4u();
  for (var i = thread; i < CHUNKS * 2u; i += THREADS) {
    own = max(own, bitcast<vec4u>(vec4f(x[row * (X_STRIDE / 4u) + i])) & vec4u(0x7fffffffu));
  }
  workgroupBarrier();
  atomicMax(&largest, max(max(own.x, own.y), max(own.z, own.w)));
  workgroupBarrier();
  if (thread == 0u) { scales[group.y] = bitcast<f32>(min(WANTED - (atomicLoad(&largest) >> 23u), 253u) << 23u); }
}

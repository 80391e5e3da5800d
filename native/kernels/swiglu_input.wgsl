// swiglu_input: silu(gate x) * (up x) of a row's chosen experts and of the shared expert; a dense FFN is a shared expert
// with no others beside it.
// dispatch  ceil((TOP_K * WIDTH + SHARED_WIDTH) / TILE_OUTPUTS), rows
// routed    [EXPERTS, 2, WIDTH, COLUMN_CHUNKS] chunks: gate rows, then up rows
// shared    [2, SHARED_WIDTH, COLUMN_CHUNKS] chunks
// x         [rows, X_STRIDE], normalised with `gain` if HAS_NORM
// experts   [rows, TOP_K]
// inner     [rows, INNER_STRIDE] out: each chosen expert's WIDTH values from i * WIDTH_STRIDE on, then the shared one's
// matches   reference: gate_and_up, to 1e-5
@group(0) @binding(0) var<storage, read> routed: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> shared_weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> gain: array<vec4f>;
@group(0) @binding(4) var<storage, read> experts: array<u32>;
@group(0) @binding(5) var<storage, read_write> inner: array<E>;

const SUMS = TILE_OUTPUTS * 2u + 1u;
var<workgroup> partial: array<f32, THREADS * SUMS>;
var<workgroup> total: array<f32, SUMS>;

@compute @workgroup_size(THREADS)
fn swiglu_input(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  // The rows of gate and up for each output of the tile.
  var gate_row: array<u32, TILE_OUTPUTS>;
  for (var o = 0u; o < TILE_OUTPUTS; o++) {
    let output = min(group.x * TILE_OUTPUTS + o, TOP_K * WIDTH + SHARED_WIDTH - 1u);
    if (output < TOP_K * WIDTH) {
      gate_row[o] = experts[row * TOP_K + output / max(WIDTH, 1u)] * 2u * WIDTH + output % max(WIDTH, 1u);
    } else {
      gate_row[o] = output - TOP_K * WIDTH;
    }
  }
  var sums: array<f32, SUMS>;
  for (var chunk = thread; chunk < COLUMN_CHUNKS; chunk += THREADS) {
    var a = x[row * (X_STRIDE / 4u) + chunk * 2u];
    var b = x[row * (X_STRIDE / 4u) + chunk * 2u + 1u];
    if (HAS_NORM) {
      sums[TILE_OUTPUTS * 2u] += dot(a, a) + dot(b, b);
      a *= gain[chunk * 2u];
      b *= gain[chunk * 2u + 1u];
    }
    for (var o = 0u; o < TILE_OUTPUTS; o++) {
      let gate_at = (gate_row[o] * COLUMN_CHUNKS + chunk) * CHUNK_WORDS;
      if (group.x * TILE_OUTPUTS + o < TOP_K * WIDTH) {
        let up_at = gate_at + WIDTH * COLUMN_CHUNKS * CHUNK_WORDS;
        sums[o * 2u] += dot(low(routed[gate_at]), a) + dot(high(routed[gate_at + CHUNK_WORDS - 1u]), b);
        sums[o * 2u + 1u] += dot(low(routed[up_at]), a) + dot(high(routed[up_at + CHUNK_WORDS - 1u]), b);
      } else {
        let up_at = gate_at + SHARED_WIDTH * COLUMN_CHUNKS * CHUNK_WORDS;
        sums[o * 2u] += dot(low(shared_weight[gate_at]), a) + dot(high(shared_weight[gate_at + CHUNK_WORDS - 1u]), b);
        sums[o * 2u + 1u] += dot(low(shared_weight[up_at]), a) + dot(high(shared_weight[up_at + CHUNK_WORDS - 1u]), b);
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
  let output = group.x * TILE_OUTPUTS + thread;
  if (thread < TILE_OUTPUTS && output < TOP_K * WIDTH + SHARED_WIDTH) {
    var scale = 1.0;
    if (HAS_NORM) { scale = inverseSqrt(total[TILE_OUTPUTS * 2u] / NORM_SIZE + EPSILON); }
    var gate = total[thread * 2u] * scale;
    var up = total[thread * 2u + 1u] * scale;
    if (SWIGLU_LIMIT > 0.0) {
      gate = min(gate, SWIGLU_LIMIT);
      up = clamp(up, -SWIGLU_LIMIT, SWIGLU_LIMIT);
    }
    var to = TOP_K * WIDTH_STRIDE + output - TOP_K * WIDTH;
    if (output < TOP_K * WIDTH) { to = output / max(WIDTH, 1u) * WIDTH_STRIDE + output % max(WIDTH, 1u); }
    inner[row * INNER_STRIDE + to] = E(gate / (1.0 + exp(-gate)) * up);
  }
}

// swiglu_output: the down projections of a row's chosen experts, weighted, and of the shared expert, summed.
// dispatch  ceil(OUTPUTS / TILE_OUTPUTS), rows
// routed    [EXPERTS, OUTPUTS, WIDTH_CHUNKS] chunks
// shared    [OUTPUTS, SHARED_CHUNKS] chunks
// inner     [rows, INNER_STRIDE] as swiglu_input writes it
// experts, weights  [rows, TOP_K]
// y         [rows, Y_STRIDE] out, or in and out if ADDS
// matches   reference: add_down, to 1e-5
@group(0) @binding(0) var<storage, read> routed: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> shared_weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> inner: array<E4>;
@group(0) @binding(3) var<storage, read> experts: array<u32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

var<workgroup> partial: array<f32, THREADS * TILE_OUTPUTS>;

@compute @workgroup_size(THREADS)
fn swiglu_output(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  var sums: array<f32, TILE_OUTPUTS>;
  for (var chunk = thread; chunk < TOP_K * WIDTH_CHUNKS + SHARED_CHUNKS; chunk += THREADS) {
    let origin = row * (INNER_STRIDE / 4u) + chunk * 2u;
    var a = vec4f(inner[origin]);
    var b = vec4f(inner[origin + 1u]);
    if (chunk < TOP_K * WIDTH_CHUNKS) {
      let choice = row * TOP_K + chunk / max(WIDTH_CHUNKS, 1u);
      a *= weights[choice];
      b *= weights[choice];
      for (var o = 0u; o < TILE_OUTPUTS; o++) {
        let output = min(group.x * TILE_OUTPUTS + o, OUTPUTS - 1u);
        let at = ((experts[choice] * OUTPUTS + output) * WIDTH_CHUNKS + chunk % max(WIDTH_CHUNKS, 1u)) * CHUNK_WORDS;
        sums[o] += dot(low(routed[at]), a) + dot(high(routed[at + CHUNK_WORDS - 1u]), b);
      }
    } else {
      for (var o = 0u; o < TILE_OUTPUTS; o++) {
        let output = min(group.x * TILE_OUTPUTS + o, OUTPUTS - 1u);
        let at = (output * SHARED_CHUNKS + chunk - TOP_K * WIDTH_CHUNKS) * CHUNK_WORDS;
        sums[o] += dot(low(shared_weight[at]), a) + dot(high(shared_weight[at + CHUNK_WORDS - 1u]), b);
      }
    }
  }
  for (var o = 0u; o < TILE_OUTPUTS; o++) { partial[thread * TILE_OUTPUTS + o] = sums[o]; }
  workgroupBarrier();
  let output = group.x * TILE_OUTPUTS + thread;
  if (thread < TILE_OUTPUTS && output < OUTPUTS) {
    var value = 0.0;
    for (var other = 0u; other < THREADS; other++) { value += partial[other * TILE_OUTPUTS + thread]; }
    let to = row * Y_STRIDE + output;
    if (ADDS) { value += y[to]; }
    y[to] = value;
  }
}

// route: norm, router, sigmoid, the choice of experts and their weights.
// dispatch  1, rows
// weight    [EXPERTS, COLUMN_CHUNKS] chunks
// bias      [EXPERTS], added for choosing only
// x         [rows, X_STRIDE], normalised with `gain` if HAS_NORM
// experts   [rows, TOP_K] out, best first
// weights   [rows, TOP_K] out, what each expert's output is multiplied by
// matches   reference: CpuDevice::route, ids equal but for near ties, weights to 1e-6
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> gain: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> experts: array<u32>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;

// Eight threads share a row of the router.
const LANES = 8u;
var<workgroup> partial: array<f32, THREADS>;
var<workgroup> squares: array<f32, THREADS>;
var<workgroup> scores: array<f32, EXPERTS>;
var<workgroup> biased: array<f32, EXPERTS>;
var<workgroup> group_scores: array<f32, GROUPS>;
var<workgroup> chosen: array<u32, TOP_K>;

@compute @workgroup_size(THREADS)
fn route(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let origin = row * (X_STRIDE / 4u);
  let lane = thread % LANES;
  var square = 0.0;
  if (HAS_NORM) {
    for (var i = thread; i < COLUMN_CHUNKS * 2u; i += THREADS) { square += dot(x[origin + i], x[origin + i]); }
  }
  squares[thread] = square;
  workgroupBarrier();
  var scale = 1.0;
  if (HAS_NORM) {
    var sum = 0.0;
    for (var i = 0u; i < THREADS; i++) { sum += squares[i]; }
    scale = inverseSqrt(sum / NORM_SIZE + EPSILON);
  }
  for (var first = 0u; first < EXPERTS; first += THREADS / LANES) {
    let expert = first + thread / LANES;
    var sum = 0.0;
    if (expert < EXPERTS) {
      for (var chunk = lane; chunk < COLUMN_CHUNKS; chunk += LANES) {
        let at = (expert * COLUMN_CHUNKS + chunk) * CHUNK_WORDS;
        var a = x[origin + chunk * 2u];
        var b = x[origin + chunk * 2u + 1u];
        if (HAS_NORM) {
          a *= gain[chunk * 2u];
          b *= gain[chunk * 2u + 1u];
        }
        sum += dot(low(weight[at]), a) + dot(high(weight[at + CHUNK_WORDS - 1u]), b);
      }
    }
    partial[thread] = sum;
    workgroupBarrier();
    if (lane == 0u && expert < EXPERTS) {
      var logit = 0.0;
      for (var i = 0u; i < LANES; i++) { logit += partial[thread + i]; }
      let score = 1.0 / (1.0 + exp(-logit * scale));
      scores[expert] = score;
      biased[expert] = score + bias[expert];
    }
    workgroupBarrier();
  }

  // Only the groups with the largest sums of their two best biased scores may be chosen from.
  if (KEPT_GROUPS < GROUPS) {
    let size = EXPERTS / GROUPS;
    for (var g = thread; g < GROUPS; g += THREADS) {
      var best = LOWEST;
      var second = LOWEST;
      for (var i = 0u; i < size; i++) {
        let score = biased[g * size + i];
        second = max(second, min(best, score));
        best = max(best, score);
      }
      group_scores[g] = best + second;
    }
    workgroupBarrier();
    for (var expert = thread; expert < EXPERTS; expert += THREADS) {
      let own = expert / size;
      var rank = 0u;
      for (var g = 0u; g < GROUPS; g++) {
        if (group_scores[g] > group_scores[own] || (group_scores[g] == group_scores[own] && g < own)) { rank++; }
      }
      if (rank >= KEPT_GROUPS) { biased[expert] = LOWEST; }
    }
    workgroupBarrier();
  }

  // An expert's place is the number of better ones; among equals the lowest id comes first.
  for (var expert = thread; expert < EXPERTS; expert += THREADS) {
    var rank = 0u;
    for (var other = 0u; other < EXPERTS; other++) {
      if (biased[other] > biased[expert] || (biased[other] == biased[expert] && other < expert)) { rank++; }
    }
    if (rank < TOP_K) { chosen[rank] = expert; }
  }
  workgroupBarrier();
  if (thread < TOP_K) {
    var sum = 0.0;
    for (var i = 0u; i < TOP_K; i++) { sum += scores[chosen[i]]; }
    var factor = ROUTED_SCALE;
    if (IS_NORMALIZED) { factor = ROUTED_SCALE / (sum + 1e-20); }
    experts[row * TOP_K + thread] = chosen[thread];
    weights[row * TOP_K + thread] = scores[chosen[thread]] * factor;
  }
}

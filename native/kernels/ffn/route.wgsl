// route: norm, router, sigmoid, the choice of experts and their weights. The router's rows are spread over workgroups,
// because one alone would read no faster than one multiprocessor can. The workgroup that finishes a row last chooses.
// dispatch  rows, PARTS = ceil(EXPERTS / TILE_OUTPUTS); with HAS_LOGITS: rows, 1
// weight    [EXPERTS, WEIGHT_UNITS] units
// bias      [EXPERTS], added for choosing only
// x         [rows, X_STRIDE]; with HAS_NORM normalised with `gain`
// scored    [rows, EXPERTS + 1] scratch: the scores, then how many parts are done; all zero before and after.
//           With HAS_LOGITS it holds the logits, and weight, x and gain are not read
// experts   [rows, TOP_K] out, best first
// weights   [rows, TOP_K] out: the factor of each expert's output
// matches   CpuDevice::route: the same ids except for near ties, weights to 1e-6; a row's result does not depend on
//           other rows
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> gain: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> scored: array<atomic<u32>>;
@group(0) @binding(5) var<storage, read_write> experts: array<u32>;
@group(0) @binding(6) var<storage, read_write> weights: array<f32>;

const PARTS = (EXPERTS + TILE_OUTPUTS - 1u) / TILE_OUTPUTS;
// Scores are never negative, so the sign bit can tell that a score has arrived.
const HAS_ARRIVED = 0x80000000u;
const SUMS = TILE_OUTPUTS + 1u;
var<workgroup> is_last: u32;
var<workgroup> scores: array<f32, EXPERTS>;
var<workgroup> biased: array<f32, EXPERTS>;
var<workgroup> group_scores: array<f32, GROUPS>;
var<workgroup> chosen: array<u32, TOP_K>;

fn sigmoid(logit: f32) -> f32 { return 1.0 / (1.0 + exp(-logit)); }

// Computes this workgroup's scores of one row.
fn score_part(at: Invocation, row: u32) {
  let first_expert = at.group.y * TILE_OUTPUTS;
  var sums: array<f32, SUMS>;
  for (var unit = at.thread; unit < WEIGHT_UNITS; unit += THREADS) {
    var units: array<weight_Unit, TILE_OUTPUTS>;
    for (var o = 0u; o < TILE_OUTPUTS; o++) {
      units[o] = weight_unit(min(first_expert + o, EXPERTS - 1u) * ROW_WORDS, unit);
    }
    for (var k = 0u; k < WEIGHT_UNIT_CHUNKS; k++) {
      let chunk = weight_chunk(unit, k);
      var a = x[row * (X_STRIDE / 4u) + chunk * 2u];
      var b = x[row * (X_STRIDE / 4u) + chunk * 2u + 1u];
      if (HAS_NORM) {
        sums[TILE_OUTPUTS] = add_product(sums[TILE_OUTPUTS], a, b, a, b);
        a *= gain[chunk * 2u];
        b *= gain[chunk * 2u + 1u];
      }
      for (var o = 0u; o < TILE_OUTPUTS; o++) {
        let w = weight_values(units[o], unit, k);
        sums[o] = add_product(sums[o], w[0], w[1], a, b);
      }
    }
  }
  workgroup_sums(at, &sums);
  let expert = first_expert + at.thread;
  if (at.thread < TILE_OUTPUTS && expert < EXPERTS) {
    var logit = totals[at.thread];
    if (HAS_NORM) { logit *= inverseSqrt(totals[TILE_OUTPUTS] / NORM_SIZE + EPSILON); }
    atomicStore(&scored[row * (EXPERTS + 1u) + expert], bitcast<u32>(sigmoid(logit)) | HAS_ARRIVED);
  }
}

@compute @workgroup_size(THREADS)
fn route(at: Invocation) {
  let thread = at.thread;
  let row = at.group.x;
  let scored_at = row * (EXPERTS + 1u);
  if (!HAS_LOGITS) {
    score_part(at, row);
    // Waits until all scores of this workgroup are on their way.
    workgroupBarrier();
    if (thread == 0u) { is_last = select(0u, 1u, atomicAdd(&scored[scored_at + EXPERTS], 1u) == PARTS - 1u); }
    if (workgroupUniformLoad(&is_last) == 0u) { return; }
    if (thread == 0u) { atomicStore(&scored[scored_at + EXPERTS], 0u); }
  }
  for (var expert = thread; expert < EXPERTS; expert += THREADS) {
    var bits = atomicLoad(&scored[scored_at + expert]);
    if (!HAS_LOGITS) {
      // WGSL's atomics do not order different words: a score may become visible after the count that followed it.
      while (bits == 0u) { bits = atomicLoad(&scored[scored_at + expert]); }
    }
    atomicStore(&scored[scored_at + expert], 0u);
    var score = bitcast<f32>(bits & ~HAS_ARRIVED);
    if (HAS_LOGITS) { score = sigmoid(bitcast<f32>(bits)); }
    scores[expert] = score;
    biased[expert] = score + bias[expert];
  }
  workgroupBarrier();

  // Experts may come only from the groups whose two best biased scores have the largest sums.
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

  // NaN scores get no place. Even then the ids must be valid.
  for (var i = thread; i < TOP_K; i += THREADS) { chosen[i] = i; }
  workgroupBarrier();
  // An expert's place is the number of better ones. The lowest id wins ties.
  for (var expert = thread; expert < EXPERTS; expert += THREADS) {
    var rank = 0u;
    for (var other = 0u; other < EXPERTS; other++) {
      if (biased[other] > biased[expert] || (biased[other] == biased[expert] && other < expert)) { rank++; }
    }
    if (rank < TOP_K) { chosen[rank] = expert; }
  }
  workgroupBarrier();
  for (var choice = thread; choice < TOP_K; choice += THREADS) {
    var sum = 0.0;
    for (var i = 0u; i < TOP_K; i++) { sum += scores[chosen[i]]; }
    var factor = ROUTED_SCALE;
    if (IS_NORMALIZED) { factor = ROUTED_SCALE / (sum + 1e-20); }
    experts[row * TOP_K + choice] = chosen[choice];
    weights[row * TOP_K + choice] = scores[chosen[choice]] * factor;
  }
}

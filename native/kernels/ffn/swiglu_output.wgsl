// swiglu_output: sums the weighted down projections of a row's chosen experts and that of the shared expert.
// dispatch  rows, ceil(OUTPUTS / TILE_OUTPUTS)
// routed    [EXPERTS, OUTPUTS, ROUTED_UNITS] units, the first of the parts; load_routed reads any part
// shared    [OUTPUTS, SHARED_WEIGHT_UNITS] units
// inner     [rows, INNER_STRIDE], the output of swiglu_input
// experts, weights  [rows, TOP_K]; experts as in swiglu_input
// y         [rows, Y_STRIDE] out; with ADDS also read
// matches   the CPU's add_down, to 1e-5; a row's result does not depend on other rows
@group(0) @binding(0) var<storage, read> routed: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> shared_weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> inner: array<E4>;
@group(0) @binding(3) var<storage, read> experts: array<u32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const SUMS = TILE_OUTPUTS;
const LOADED_ROWS = TILE_OUTPUTS;

@compute @workgroup_size(THREADS)
fn swiglu_output(at: Invocation) {
  let row = at.group.x;
  // Returning instead would leave other threads waiting at a barrier.
  let has_work = !is_in_other_wave(experts[row * TOP_K]);
  let first_output = at.group.y * TILE_OUTPUTS;
  // Where each of the tile's weight rows begins in its expert.
  var row_at: array<u32, LOADED_ROWS>;
  for (var o = 0u; o < TILE_OUTPUTS; o++) { row_at[o] = min(first_output + o, OUTPUTS - 1u) * ROUTED_ROW_WORDS; }
  var sums: array<f32, SUMS>;
  // Threads share out the units of all the row's experts, then those of the shared one. All loads of weights come
  // before the first use, so that all of them are under way at once.
  var unit = at.thread;
  for (; has_work && unit < TOP_K * ROUTED_UNITS; unit += THREADS) {
    let choice = unit / max(ROUTED_UNITS, 1u);
    let own = unit % max(ROUTED_UNITS, 1u);
    let expert = experts[row * TOP_K + choice];
    if (is_on_host(expert)) { continue; }
    let weight = weights[row * TOP_K + choice];
    var units: array<routed_Unit, LOADED_ROWS>;
    load_routed(part_of(expert), &row_at, place_in_part(expert) * OUTPUTS * ROUTED_ROW_WORDS, own, &units);
    for (var k = 0u; k < ROUTED_UNIT_CHUNKS; k++) {
      let start = row * (INNER_STRIDE / 4u) + (choice * WIDTH_CHUNKS + routed_chunk(own, k)) * 2u;
      let a = vec4f(inner[start]) * weight;
      let b = vec4f(inner[start + 1u]) * weight;
      for (var o = 0u; o < TILE_OUTPUTS; o++) {
        let w = routed_values(units[o], own, k);
        sums[o] = add_product(sums[o], w[0], w[1], a, b);
      }
    }
  }
  for (; has_work && unit < TOP_K * ROUTED_UNITS + SHARED_WEIGHT_UNITS; unit += THREADS) {
    let own = unit - TOP_K * ROUTED_UNITS;
    var units: array<shared_weight_Unit, LOADED_ROWS>;
    for (var o = 0u; o < TILE_OUTPUTS; o++) {
      units[o] = shared_weight_unit(min(first_output + o, OUTPUTS - 1u) * SHARED_ROW_WORDS, own);
    }
    for (var k = 0u; k < SHARED_WEIGHT_UNIT_CHUNKS; k++) {
      let start = row * (INNER_STRIDE / 4u) + (TOP_K * WIDTH_CHUNKS + shared_weight_chunk(own, k)) * 2u;
      let a = vec4f(inner[start]);
      let b = vec4f(inner[start + 1u]);
      for (var o = 0u; o < TILE_OUTPUTS; o++) {
        let w = shared_weight_values(units[o], own, k);
        sums[o] = add_product(sums[o], w[0], w[1], a, b);
      }
    }
  }
  workgroup_sums(at, &sums);
  let output = first_output + at.thread;
  if (at.thread < TILE_OUTPUTS && output < OUTPUTS && has_work) {
    var value = totals[at.thread];
    let to = row * Y_STRIDE + output;
    if (ADDS) { value += y[to]; }
    y[to] = value;
  }
}

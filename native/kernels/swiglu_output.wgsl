// swiglu_output: the down projections of a row's chosen experts, weighted, and of the shared expert, summed.
// dispatch  rows, ceil(OUTPUTS / TILE_OUTPUTS)
// routed    [EXPERTS, OUTPUTS, WIDTH_CHUNKS] chunks; the first of the parts that load_routed reads
// shared    [OUTPUTS, SHARED_CHUNKS] chunks
// inner     [rows, INNER_STRIDE] as swiglu_input writes it
// experts, weights  [rows, TOP_K]; of experts what swiglu_input says
// y         [rows, Y_STRIDE] out, or in and out if ADDS
// matches   reference: add_down, to 1e-5; a row's result does not depend on the other rows
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
  var chunks = TOP_K * WIDTH_CHUNKS + SHARED_CHUNKS;
  if (is_in_other_wave(experts[row * TOP_K])) { chunks = 0u; }
  let first_output = at.group.y * TILE_OUTPUTS;
  // Where each row of weights of the tile begins in its expert.
  var row_at: array<u32, LOADED_ROWS>;
  for (var o = 0u; o < TILE_OUTPUTS; o++) { row_at[o] = min(first_output + o, OUTPUTS - 1u) * ROUTED_ROW_WORDS; }
  var sums: array<f32, SUMS>;
  for (var chunk = at.thread; chunk < chunks; chunk += THREADS) {
    // All loads of weights before the first use of one: as many are under way at once.
    var words: array<vec4u, LOADED_ROWS * CHUNK_WORDS>;
    let start = row * (INNER_STRIDE / 4u) + chunk * 2u;
    var a = vec4f(inner[start]);
    var b = vec4f(inner[start + 1u]);
    let is_routed = chunk < TOP_K * WIDTH_CHUNKS;
    if (is_routed) {
      let choice = row * TOP_K + chunk / max(WIDTH_CHUNKS, 1u);
      let expert = experts[choice];
      if (is_on_host(expert)) { continue; }
      let first = place_in_part(expert) * OUTPUTS * ROUTED_ROW_WORDS;
      load_routed(part_of(expert), &row_at, first, chunk % max(WIDTH_CHUNKS, 1u), &words);
      a *= weights[choice];
      b *= weights[choice];
    } else {
      for (var i = 0u; i < TILE_OUTPUTS * CHUNK_WORDS; i++) {
        let output = min(first_output + i / CHUNK_WORDS, OUTPUTS - 1u);
        words[i] = shared_weight_word(output * SHARED_ROW_WORDS, chunk - TOP_K * WIDTH_CHUNKS, i % CHUNK_WORDS);
      }
    }
    for (var o = 0u; o < TILE_OUTPUTS; o++) {
      let w_low = low_of(is_routed, words[o * CHUNK_WORDS]);
      let w_high = high_of(is_routed, words[o * CHUNK_WORDS + CHUNK_WORDS - 1u]);
      sums[o] = add_product(sums[o], w_low, w_high, a, b);
    }
  }
  workgroup_sums(at, &sums);
  let output = first_output + at.thread;
  if (at.thread < TILE_OUTPUTS && output < OUTPUTS && chunks > 0u) {
    var value = totals[at.thread];
    let to = row * Y_STRIDE + output;
    if (ADDS) { value += y[to]; }
    y[to] = value;
  }
}

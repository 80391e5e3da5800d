// swiglu_input: silu(gate x) * (up x) of a row's chosen experts and of the shared expert; a dense FFN is a shared expert
// with no others beside it. The rows' tiles of the same shared outputs stand next to each other: caches serve all but one.
// dispatch  rows, TOP_K * ceil(WIDTH / TILE_OUTPUTS) + ceil(SHARED_WIDTH / TILE_OUTPUTS): no tile is of two experts
// routed    [EXPERTS, 2, WIDTH, COLUMN_CHUNKS] chunks: gate rows, then up rows; the first of the parts that load_routed reads
// shared    [2, SHARED_WIDTH, COLUMN_CHUNKS] chunks
// x         [rows, X_STRIDE], normalised with `gain` if HAS_NORM
// experts   [rows, TOP_K]; where experts have slots each choice's slot, or what is_on_host() tells of one that is not
//           computed here and is_in_other_wave() of all of a row whose experts have their turn at another time
// inner     [rows, INNER_STRIDE] out: each chosen expert's WIDTH values from i * WIDTH_STRIDE on, then the shared one's
// matches   reference: gate_and_up, to 1e-5; a row's result does not depend on the other rows
@group(0) @binding(0) var<storage, read> routed: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> shared_weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> gain: array<vec4f>;
@group(0) @binding(4) var<storage, read> experts: array<u32>;
@group(0) @binding(5) var<storage, read_write> inner: array<E>;

// Each output's gate and up, then the row's sum of squares.
const PRODUCTS = TILE_OUTPUTS * 2u;
const SUMS = PRODUCTS + 1u;
const LOADED_ROWS = PRODUCTS;
const EXPERT_TILES = (WIDTH + TILE_OUTPUTS - 1u) / TILE_OUTPUTS;

@compute @workgroup_size(THREADS)
fn swiglu_input(at: Invocation) {
  let row = at.group.x;
  // None where there is nothing to do: returning would leave others waiting at a barrier.
  var chunks = COLUMN_CHUNKS;
  if (is_in_other_wave(experts[row * TOP_K])) { chunks = 0u; }
  let is_routed = at.group.y < TOP_K * EXPERT_TILES;
  var part = 0u;
  var first_row = 0u;
  var width = SHARED_WIDTH;
  var first_output = (at.group.y - TOP_K * EXPERT_TILES) * TILE_OUTPUTS;
  var to = TOP_K * WIDTH_STRIDE;
  var row_words = SHARED_ROW_WORDS;
  if (is_routed) {
    let choice = at.group.y / max(EXPERT_TILES, 1u);
    let expert = experts[row * TOP_K + choice];
    if (is_on_host(expert)) { chunks = 0u; }
    part = part_of(expert);
    first_row = place_in_part(expert) * 2u * WIDTH;
    width = WIDTH;
    row_words = ROUTED_ROW_WORDS;
    first_output = at.group.y % max(EXPERT_TILES, 1u) * TILE_OUTPUTS;
    to = choice * WIDTH_STRIDE;
  }
  // Where each row of weights of the tile begins in its buffer.
  var weight_at: array<u32, LOADED_ROWS>;
  for (var o = 0u; o < TILE_OUTPUTS; o++) {
    let gate_row = first_row + min(first_output + o, width - 1u);
    weight_at[o * 2u] = gate_row * row_words;
    weight_at[o * 2u + 1u] = (gate_row + width) * row_words;
  }
  var sums: array<f32, SUMS>;
  for (var chunk = at.thread; chunk < chunks; chunk += THREADS) {
    // All loads of weights before the first use of one: as many are under way at once.
    var words: array<vec4u, LOADED_ROWS * CHUNK_WORDS>;
    if (is_routed) {
      load_routed(part, &weight_at, 0u, chunk, &words);
    } else {
      for (var i = 0u; i < LOADED_ROWS * CHUNK_WORDS; i++) {
        words[i] = shared_weight_word(weight_at[i / CHUNK_WORDS], chunk, i % CHUNK_WORDS);
      }
    }
    var a = x[row * (X_STRIDE / 4u) + chunk * 2u];
    var b = x[row * (X_STRIDE / 4u) + chunk * 2u + 1u];
    if (HAS_NORM) {
      sums[PRODUCTS] = add_product(sums[PRODUCTS], a, b, a, b);
      a *= gain[chunk * 2u];
      b *= gain[chunk * 2u + 1u];
    }
    for (var i = 0u; i < PRODUCTS; i++) {
      let w_low = low_of(is_routed, words[i * CHUNK_WORDS]);
      let w_high = high_of(is_routed, words[i * CHUNK_WORDS + CHUNK_WORDS - 1u]);
      sums[i] = add_product(sums[i], w_low, w_high, a, b);
    }
  }
  workgroup_sums(at, &sums);
  let output = first_output + at.thread;
  if (at.thread < TILE_OUTPUTS && output < width && chunks > 0u) {
    var scale = 1.0;
    if (HAS_NORM) { scale = inverseSqrt(totals[PRODUCTS] / NORM_SIZE + EPSILON); }
    inner[row * INNER_STRIDE + to + output] = E(swiglu(totals[at.thread * 2u] * scale, totals[at.thread * 2u + 1u] * scale));
  }
}

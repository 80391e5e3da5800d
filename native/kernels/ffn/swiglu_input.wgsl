// swiglu_input: silu(gate x) * (up x) of a row's chosen experts and of the shared expert. A dense FFN is a shared
// expert without others. Tiles of the same shared outputs run next to each other, so that caches serve all but the
// first.
// dispatch  rows, TOP_K * ceil(WIDTH / TILE_OUTPUTS) + ceil(SHARED_WIDTH / TILE_OUTPUTS): a tile has one expert only
// routed    [EXPERTS, 2, WIDTH, units of a row], the first part: gate rows, then up rows, perhaps of another type
// shared    [2, SHARED_WIDTH, units of a row], in the same order
// x         [rows, X_STRIDE]; with HAS_NORM normalised with `gain`
// experts   [rows, TOP_K]: ids, or slots if experts have them; then is_on_host() tells which choices the processor
//           computes, and is_in_other_wave() that another wave computes the whole row
// inner     [rows, INNER_STRIDE] out: WIDTH values of each chosen expert i from i * WIDTH_STRIDE on, then the shared
// one's
// matches   the CPU's gate_and_up, to 1e-5; a row's result does not depend on other rows
@group(0) @binding(0) var<storage, read> routed: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> shared_weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> gain: array<vec4f>;
@group(0) @binding(4) var<storage, read> experts: array<u32>;
@group(0) @binding(5) var<storage, read_write> inner: array<E>;

// The sums are gate and up of each output, then the row's sum of squares.
const PRODUCTS = TILE_OUTPUTS * 2u;
const SUMS = PRODUCTS + 1u;
const EXPERT_TILES = (WIDTH + TILE_OUTPUTS - 1u) / TILE_OUTPUTS;

@compute @workgroup_size(THREADS)
fn swiglu_input(at: Invocation) {
  let row = at.group.x;
  // False if there is nothing to do. Returning instead would leave other threads waiting at a barrier.
  var has_work = !is_in_other_wave(experts[row * TOP_K]);
  let is_routed = at.group.y < TOP_K * EXPERT_TILES;
  var part = 0u;
  var first_at = 0u;
  var width = SHARED_WIDTH;
  var first_output = (at.group.y - TOP_K * EXPERT_TILES) * TILE_OUTPUTS;
  var to = TOP_K * WIDTH_STRIDE;
  var gate_row_words = SHARED_GATE_ROW_WORDS;
  var up_row_words = SHARED_UP_ROW_WORDS;
  if (is_routed) {
    let choice = at.group.y / max(EXPERT_TILES, 1u);
    let expert = experts[row * TOP_K + choice];
    has_work = has_work && !is_on_host(expert);
    part = part_of(expert);
    first_at = place_in_part(expert) * (ROUTED_GATE_ROW_WORDS + ROUTED_UP_ROW_WORDS) * WIDTH;
    width = WIDTH;
    gate_row_words = ROUTED_GATE_ROW_WORDS;
    up_row_words = ROUTED_UP_ROW_WORDS;
    first_output = at.group.y % max(EXPERT_TILES, 1u) * TILE_OUTPUTS;
    to = choice * WIDTH_STRIDE;
  }
  // Where each of the tile's weight rows begins in its buffer.
  var weight_at: array<u32, PRODUCTS>;
  for (var o = 0u; o < TILE_OUTPUTS; o++) {
    let output = min(first_output + o, width - 1u);
    weight_at[o * 2u] = first_at + output * gate_row_words;
    weight_at[o * 2u + 1u] = first_at + width * gate_row_words + output * up_row_words;
  }
  var sums: array<f32, SUMS>;
  if (has_work) {
    if (is_routed) {
      sum_routed(at.thread, row, part, &weight_at, &sums);
    } else {
      sum_shared(at.thread, row, part, &weight_at, &sums);
    }
  }
  workgroup_sums(at, &sums);
  let output = first_output + at.thread;
  if (at.thread < TILE_OUTPUTS && output < width && has_work) {
    var scale = 1.0;
    if (HAS_NORM) { scale = inverseSqrt(totals[PRODUCTS] / NORM_SIZE + EPSILON); }
    inner[row * INNER_STRIDE + to + output] = E(swiglu(totals[at.thread * 2u] * scale, totals[at.thread * 2u + 1u] * scale));
  }
}

// Reads eight inputs and multiplies them with their gains. With adds_squares, adds their squares to the row's sum.
fn input_chunk(row: u32, chunk: u32, adds_squares: bool, sums: ptr<function, array<f32, SUMS>>) -> array<vec4f, 2> {
  let a = x[row * (X_STRIDE / 4u) + chunk * 2u];
  let b = x[row * (X_STRIDE / 4u) + chunk * 2u + 1u];
  if (!HAS_NORM) { return array(a, b); }
  if (adds_squares) { (*sums)[PRODUCTS] = add_product((*sums)[PRODUCTS], a, b, a, b); }
  return array(a * gain[chunk * 2u], b * gain[chunk * 2u + 1u]);
}

// swiglu_output_dots: swiglu_output in whole numbers. A team of LANES threads owns four outputs.
// dispatch  rows, ceil(OUTPUTS / (TEAMS * 4))
// routed    [EXPERTS, OUTPUTS, ROUTED_BLOCKS] blocks of 32, the first of the parts
// shared    [OUTPUTS, SHARED_WEIGHT_BLOCKS]
// planes, scales  the rows of `inner`, from round_rows: the blocks of each chosen expert, then those of the shared one
// experts, weights, y  as in swiglu_output
// matches   the CPU's add_down of the rounded rows, to 1e-5; a row's result does not depend on other rows
@group(0) @binding(0) var<storage, read> routed: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> shared_weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> planes: array<vec4u>;
@group(0) @binding(3) var<storage, read> scales: array<vec2f>;
@group(0) @binding(4) var<storage, read> experts: array<u32>;
@group(0) @binding(5) var<storage, read> weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

const TEAMS = THREADS / LANES;
const CHOSEN_BLOCKS = TOP_K * ROUTED_BLOCKS;

// A thread takes a block of four rows of one routed expert at a time.
struct Chosen {
  blocks: array<routed_Block, 4>,
  weight: f32,
}

fn chosen_block(row: u32, rows_at: ptr<function, array<u32, 4>>, unit: u32) -> Chosen {
  let choice = unit / max(ROUTED_BLOCKS, 1u);
  let expert = experts[row * TOP_K + choice];
  let is_here = !is_on_host(expert);
  let own = select(0u, expert, is_here);
  var found: Chosen;
  found.weight = select(0.0, weights[row * TOP_K + choice], is_here);
  var blocks: array<routed_Block, 4>;
  load_chosen(part_of(own), rows_at, place_in_part(own) * OUTPUTS * ROUTED_ROW_WORDS, unit % max(ROUTED_BLOCKS, 1u), &blocks);
  found.blocks = blocks;
  return found;
}

fn add_chosen(own: Chosen, row: u32, unit: u32, before: vec4f) -> vec4f {
  var x = input_block(row, unit);
  x.scale *= own.weight;
  x.sum *= own.weight;
  var sums = before;
  for (var o = 0u; o < 4u; o++) {
    let w = routed_weights(own.blocks[o], unit % max(ROUTED_BLOCKS, 1u));
    sums[o] = add_block(w, x, ROUTED_HAS_MIN, sums[o]);
  }
  return sums;
}

@compute @workgroup_size(THREADS)
fn swiglu_output_dots(at: Invocation) {
  prepare_dots(at.thread);
  let row = at.group.x;
  let lane = at.thread % LANES;
  // Returning instead would leave other threads waiting at a barrier.
  let has_work = !is_in_other_wave(experts[row * TOP_K]);
  let first_output = (at.group.y * TEAMS + at.thread / LANES) * 4u;
  var routed_at: array<u32, 4>;
  var shared_at: array<u32, 4>;
  for (var o = 0u; o < 4u; o++) {
    let output = min(first_output + o, OUTPUTS - 1u);
    routed_at[o] = output * ROUTED_ROW_WORDS;
    shared_at[o] = output * SHARED_ROW_WORDS;
  }
  var chosen = vec4f(0.0);
  // The loop of sum_blocks.wgsl, over the blocks of all chosen experts.
  const last = max(CHOSEN_BLOCKS, 1u) - 1u;
  if (has_work && TOP_K > 0u) {
    var even = chosen_block(row, &routed_at, min(lane, last));
    for (var unit = lane; unit < CHOSEN_BLOCKS; unit += LANES * 2u) {
      let odd = chosen_block(row, &routed_at, min(unit + LANES, last));
      chosen = add_chosen(even, row, unit, chosen);
      even = chosen_block(row, &routed_at, min(unit + LANES * 2u, last));
      if (CHOSEN_BLOCKS % (LANES * 2u) == 0u || unit + LANES < CHOSEN_BLOCKS) {
        chosen = add_chosen(odd, row, unit + LANES, chosen);
      }
    }
  }
  var sums: array<vec4f, TILE_ROWS>;
  sums[0] = chosen;
  var x_at: array<u32, TILE_ROWS>;
  x_at[0] = row;
  if (has_work) { sum_shared_weight(lane, 0u, &shared_at, &x_at, &sums); }
  let total = team_sum(at.thread, sums[0]);
  let output = first_output + lane / (LANES / 4u);
  if (lane % (LANES / 4u) == 0u && output < OUTPUTS && has_work) {
    let to = row * Y_STRIDE + output;
    var value = total;
    if (ADDS) { value += y[to]; }
    y[to] = value;
  }
}

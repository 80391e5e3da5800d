// swiglu_input_dots: swiglu_input in whole numbers. A team of LANES threads owns two outputs: their gates and ups are four
// weight rows.
// dispatch  rows, TOP_K * ceil(WIDTH / (TEAMS * 2)) + ceil(SHARED_WIDTH / (TEAMS * 2)): a workgroup has one expert only
// routed    [EXPERTS, 2, WIDTH, ROUTED_BLOCKS] blocks of 32, the first part
// shared    [2, SHARED_WIDTH, SHARED_WEIGHT_BLOCKS], in the same order
// planes, scales  the rows, from round_rows
// experts   as in swiglu_input
// inner     as in swiglu_input
// matches   the CPU's gate_and_up of the rounded rows, to 1e-5; a row's result does not depend on other rows
@group(0) @binding(0) var<storage, read> routed: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> shared_weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> planes: array<vec4u>;
@group(0) @binding(3) var<storage, read> scales: array<vec2f>;
@group(0) @binding(4) var<storage, read> experts: array<u32>;
@group(0) @binding(5) var<storage, read_write> inner: array<E>;

const TEAMS = THREADS / LANES;
const GROUP_OUTPUTS = TEAMS * 2u;
const EXPERT_GROUPS = (WIDTH + GROUP_OUTPUTS - 1u) / GROUP_OUTPUTS;

var<workgroup> team_totals: array<f32, TEAMS * 4u>;

@compute @workgroup_size(THREADS)
fn swiglu_input_dots(at: Invocation) {
  prepare_dots(at.thread);
  let row = at.group.x;
  let lane = at.thread % LANES;
  let team = at.thread / LANES;
  // False if there is nothing to do. Returning instead would leave other threads waiting at a barrier.
  var has_work = !is_in_other_wave(experts[row * TOP_K]);
  let is_routed = at.group.y < TOP_K * EXPERT_GROUPS;
  var part = 0u;
  var first_at = 0u;
  var width = SHARED_WIDTH;
  var row_words = SHARED_ROW_WORDS;
  var first_output = (at.group.y - TOP_K * EXPERT_GROUPS) * GROUP_OUTPUTS;
  var to = TOP_K * WIDTH_STRIDE;
  if (is_routed) {
    let choice = at.group.y / max(EXPERT_GROUPS, 1u);
    let expert = experts[row * TOP_K + choice];
    has_work = has_work && !is_on_host(expert);
    part = part_of(expert);
    first_at = place_in_part(expert) * 2u * ROUTED_ROW_WORDS * WIDTH;
    width = WIDTH;
    row_words = ROUTED_ROW_WORDS;
    first_output = at.group.y % max(EXPERT_GROUPS, 1u) * GROUP_OUTPUTS;
    to = choice * WIDTH_STRIDE;
  }
  var weight_at: array<u32, 4>;
  for (var o = 0u; o < 2u; o++) {
    let output = min(first_output + team * 2u + o, width - 1u);
    weight_at[o * 2u] = first_at + output * row_words;
    weight_at[o * 2u + 1u] = first_at + (width + output) * row_words;
  }
  var x_at: array<u32, TILE_ROWS>;
  x_at[0] = row;
  var sums: array<vec4f, TILE_ROWS>;
  if (has_work) {
    if (is_routed) {
      sum_routed(lane, part, &weight_at, &x_at, &sums);
    } else {
      sum_shared_weight(lane, part, &weight_at, &x_at, &sums);
    }
  }
  let total = team_sum(at.thread, sums[0]);
  if (lane % (LANES / 4u) == 0u) { team_totals[team * 4u + lane / (LANES / 4u)] = total; }
  workgroupBarrier();
  let output = first_output + at.thread;
  if (at.thread < GROUP_OUTPUTS && output < width && has_work) {
    inner[row * INNER_STRIDE + to + output] = E(swiglu(team_totals[at.thread * 2u], team_totals[at.thread * 2u + 1u]));
  }
}

// Sums and maxima over an attention team of 64 threads, by subgroups of 4 to 64 threads. attention_plain is the variant
// without subgroups. Threads with successive local indices are neighbours in a subgroup, as drivers have it for
// workgroups of one dimension.
const KEY_LANES = 4u;  // threads that share the sum of one key's score
var<workgroup> lane_maxima: array<vec4f, TEAMS * ROWS * 16u>;

// The number of threads that find one maximum together: a subgroup.
fn lane_count() -> u32 { return subgroupAdd(1u); }

// The highest value in the team, by component. Calls without a barrier in between need different values of `row`.
fn team_max(thread: u32, lanes: u32, row: u32, value: vec4f) -> vec4f {
  let at = (thread / TEAM * ROWS + row) * 16u;
  let highest = subgroupMax(value);
  if (thread % lanes == 0u) { lane_maxima[at + thread % TEAM / lanes] = highest; }
  workgroupBarrier();
  var result = lane_maxima[at];
  for (var i = 1u; i < TEAM / lanes; i++) { result = max(result, lane_maxima[at + i]); }
  return result;
}

// Sums each of four values over the quad. Lane i gets the sum of value i.
fn sum_of_own_head(thread: u32, value: array<vec4f, 4>) -> vec4f {
  let is_odd = thread % 2u == 1u;
  let is_upper = thread % 4u >= 2u;
  let lower = select(value[0], value[1], is_odd) + subgroupShuffleXor(select(value[1], value[0], is_odd), 1u);
  let upper = select(value[2], value[3], is_odd) + subgroupShuffleXor(select(value[3], value[2], is_odd), 1u);
  return select(lower, upper, is_upper) + subgroupShuffleXor(select(upper, lower, is_upper), 2u);
}

fn sum_of_own_key(thread: u32, value: array<vec4f, KEY_LANES>) -> vec4f { return sum_of_own_head(thread, value); }

// Sums and maxima over an attention team of 64 threads, through workgroup memory. attention_subgroups is the faster
// variant.
const KEY_LANES = 1u;  // threads that share the sum of one key's score
var<workgroup> thread_values: array<vec4f, TEAMS * TEAM>;
var<workgroup> lane_maxima: array<vec4f, TEAMS * ROWS * 8u>;

// The number of threads that find one maximum together.
fn lane_count() -> u32 { return 8u; }

// The highest value in the team, by component. Calls without a barrier in between need different values of `row`.
fn team_max(thread: u32, lanes: u32, row: u32, value: vec4f) -> vec4f {
  let at = (thread / TEAM * ROWS + row) * 8u;
  thread_values[thread] = value;
  workgroupBarrier();
  if (thread % lanes == 0u) {
    var highest = value;
    for (var i = 1u; i < lanes; i++) { highest = max(highest, thread_values[thread + i]); }
    lane_maxima[at + thread % TEAM / lanes] = highest;
  }
  workgroupBarrier();
  var result = lane_maxima[at];
  for (var i = 1u; i < TEAM / lanes; i++) { result = max(result, lane_maxima[at + i]); }
  return result;
}

// Sums each of four values over the quad. Lane i gets the sum of value i.
fn sum_of_own_head(thread: u32, value: array<vec4f, 4>) -> vec4f {
  let quad = thread / 4u * 4u;
  var result = vec4f();
  for (var i = 0u; i < 4u; i++) {
    workgroupBarrier();
    thread_values[thread] = value[i];
    workgroupBarrier();
    if (thread % 4u == i) {
      result = (thread_values[quad] + thread_values[quad + 1u]) + (thread_values[quad + 2u] + thread_values[quad + 3u]);
    }
  }
  return result;
}

fn sum_of_own_key(thread: u32, value: array<vec4f, KEY_LANES>) -> vec4f { return value[0]; }

// team_sum: the sum of each of four values over a team of LANES threads that lie side by side, through workgroup memory.
// Thread l of a team gets that of value l / (LANES / 4). Adds in the order of team_sum_subgroups.wgsl. Text for kernels,
// which set LANES and THREADS.
var<workgroup> team_parts: array<vec4f, THREADS>;

fn team_sum(thread: u32, values: vec4f) -> f32 {
  let lane = thread % LANES;
  workgroupBarrier();
  team_parts[thread] = values;
  for (var step = LANES / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) { team_parts[thread] += team_parts[thread + step]; }
  }
  workgroupBarrier();
  return team_parts[thread - lane][lane / (LANES / 4u)];
}

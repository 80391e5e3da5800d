// team_sum as in team_sum.wgsl, where a team is a subgroup of LANES threads, at least 4. Each exchange halves the values that a
// thread has to add: 6 exchanges for 32 lanes instead of 20.
fn team_sum(thread: u32, values: vec4f) -> f32 {
  let lane = thread % LANES;
  let is_upper = (lane & (LANES / 2u)) != 0u;
  let two = select(values.xy, values.zw, is_upper) +
            subgroupShuffleXor(select(values.zw, values.xy, is_upper), LANES / 2u);
  let is_odd = (lane & (LANES / 4u)) != 0u;
  var sum = select(two.x, two.y, is_odd) + subgroupShuffleXor(select(two.y, two.x, is_odd), LANES / 4u);
  if (LANES > 4u) { sum += subgroupShuffleXor(sum, max(LANES / 8u, 1u)); }
  if (LANES > 8u) { sum += subgroupShuffleXor(sum, max(LANES / 16u, 1u)); }
  if (LANES > 16u) { sum += subgroupShuffleXor(sum, max(LANES / 32u, 1u)); }
  if (LANES > 32u) { sum += subgroupShuffleXor(sum, max(LANES / 64u, 1u)); }
  if (LANES > 64u) { sum += subgroupShuffleXor(sum, max(LANES / 128u, 1u)); }
  return sum;
}

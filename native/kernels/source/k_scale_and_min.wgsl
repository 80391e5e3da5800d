// k_scale_and_min: [scale, minimum] of a group in q4_k or q5_k. `packed` is the block's twelve bytes of scales and
// minima. The first four groups have 6 bits of byte g (scale) and of byte g + 4 (minimum). The last four groups have
// the halves of byte g + 4, below the upper 2 bits of bytes g - 4 and g.
fn k_scale_and_min(packed: vec3u, group: u32) -> vec2f {
  let shift = group % 4u * 8u;
  let first = packed.x >> shift;
  let second = packed.y >> shift;
  if (group < 4u) { return vec2f(f32(first & 63u), f32(second & 63u)); }
  let third = packed.z >> shift;
  return vec2f(f32((third & 15u) | ((first >> 2u) & 48u)), f32(((third >> 4u) & 15u) | ((second >> 2u) & 48u)));
}

// k_scale_and_min: the scale and minimum of a group of q4_k or q5_k, [scale, minimum]. `packed` is the block's twelve bytes of
// them. Group g's are bytes g and g + 4, of 6 bits. Those of the last four groups are halves of byte g + 4, below the upper 2 bits
// of bytes g - 4 and g.
fn k_scale_and_min(packed: vec3u, group: u32) -> vec2f {
  let shift = group % 4u * 8u;
  let first = packed.x >> shift;
  let second = packed.y >> shift;
  if (group < 4u) { return vec2f(f32(first & 63u), f32(second & 63u)); }
  let third = packed.z >> shift;
  return vec2f(f32((third & 15u) | ((first >> 2u) & 48u)), f32(((third >> 4u) & 15u) | ((second >> 2u) & 48u)));
}

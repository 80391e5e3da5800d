// @NAME_chunk: the two halves of eight elements of the head that begins at word `head`, in a cache in f32.
fn @NAME_chunk(head: u32, chunk: u32) -> array<vec4f, 2> {
  return array(bitcast<vec4f>(@NAME[head + chunk * 2u]), bitcast<vec4f>(@NAME[head + chunk * 2u + 1u]));
}

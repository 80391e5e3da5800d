// @NAME_chunk: the two halves of eight elements of the head that begins at word `head`, in a cache in bf16.
fn @NAME_chunk(head: u32, chunk: u32) -> array<vec4f, 2> {
  let word = @NAME[head + chunk];
  return array(bitcast<vec4f>(vec4u(word.x << 16u, word.x & 0xffff0000u, word.y << 16u, word.y & 0xffff0000u)),
               bitcast<vec4f>(vec4u(word.z << 16u, word.z & 0xffff0000u, word.w << 16u, word.w & 0xffff0000u)));
}

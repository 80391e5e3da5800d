// @NAME_chunk: the two halves of eight elements of the head that begins at word `head`, in a cache in f16.
fn @NAME_chunk(head: u32, chunk: u32) -> array<vec4f, 2> {
  let word = @NAME[head + chunk];
  return array(vec4f(unpack2x16float(word.x), unpack2x16float(word.y)),
               vec4f(unpack2x16float(word.z), unpack2x16float(word.w)));
}

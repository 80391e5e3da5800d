// @NAME_chunk: the two halves of eight elements of the head that begins at word `head`, in a cache in q4_1. cache_q4.wgsl
// writes it. multiply_add4() makes every kernel round alike.
fn @NAME_codes(word: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u));
}
fn @NAME_chunk(head: u32, chunk: u32) -> array<vec4f, 2> {
  let range = unpack2x16float(@NAME[head + CODE_WORDS + chunk / 4u]);
  let word = @NAME[head + chunk];
  return array(multiply_add4(vec4f(range.x), @NAME_codes(word), vec4f(range.y)),
               multiply_add4(vec4f(range.x), @NAME_codes(word >> 16u), vec4f(range.y)));
}

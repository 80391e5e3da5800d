// @NAME_chunk: the two halves of eight elements of the head that begins at word `head`, in a cache in q8_0. cache_q8.wgsl
// writes it. A scale times a code is exact.
fn @NAME_codes(word: u32) -> vec4f {
  return vec4f(vec4i(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
fn @NAME_chunk(head: u32, chunk: u32) -> array<vec4f, 2> {
  let scale = unpack2x16float(@NAME[head + CODE_WORDS + chunk / 8u])[chunk / 4u % 2u];
  return array(scale * @NAME_codes(@NAME[head + chunk * 2u]), scale * @NAME_codes(@NAME[head + chunk * 2u + 1u]));
}

// cache_word: the i-th word of a head as a cache in bf16 holds it.
fn to_bf16(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
fn cache_word(i: u32) -> u32 { return to_bf16(element(i * 2u)) | (to_bf16(element(i * 2u + 1u)) << 16u); }

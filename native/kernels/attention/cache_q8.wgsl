// A head of the cache as q8_0 (native/quant/cache_blocks.h): first the codes of all its blocks of 32, four to a word,
// then the blocks' scales, two to a word. When a head is written, element() gives its values.
const CODE_WORDS = CACHE_BLOCKS * 8u;

fn cache_scale(block: u32) -> f32 {
  var most = 0.0;
  for (var i = 0u; i < 32u; i++) { most = max(most, abs(element(block * 32u + i))); }
  return unpack2x16float(pack2x16float(vec2f(most / 127.0, 0.0))).x;
}

// The head's i-th word.
fn cache_word(i: u32) -> u32 {
  if (i >= CODE_WORDS) {
    let block = (i - CODE_WORDS) * 2u;
    var scales = vec2f(cache_scale(block), 0.0);
    if (block + 1u < CACHE_BLOCKS) { scales.y = cache_scale(block + 1u); }
    return pack2x16float(scales);
  }
  let scale = cache_scale(i / 8u);
  var inverse = 0.0;
  if (scale > 0.0) { inverse = 1.0 / scale; }
  let values = vec4f(element(i * 4u), element(i * 4u + 1u), element(i * 4u + 2u), element(i * 4u + 3u));
  let codes = vec4u(vec4i(clamp(round(values * inverse), vec4f(-127.0), vec4f(127.0)))) & vec4u(0xffu);
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

// A head of the cache as q4_1 (native/quant/cache_blocks.h): first the codes of all its blocks of 32, eight to a word
// in the order of the elements, then a word for each block with its scale and minimum. When a head is written,
// element() gives its values.
const CODE_WORDS = CACHE_BLOCKS * 4u;

// The word with a block's scale and minimum.
fn cache_range(block: u32) -> u32 {
  var low = element(block * 32u);
  var high = low;
  for (var i = 1u; i < 32u; i++) {
    low = min(low, element(block * 32u + i));
    high = max(high, element(block * 32u + i));
  }
  low = unpack2x16float(pack2x16float(vec2f(low, 0.0))).x;
  return pack2x16float(vec2f((high - low) / 15.0, low));
}

// The head's i-th word.
fn cache_word(i: u32) -> u32 {
  if (i >= CODE_WORDS) { return cache_range(i - CODE_WORDS); }
  let range = unpack2x16float(cache_range(i / 4u));
  var inverse = 0.0;
  if (range.x > 0.0) { inverse = 1.0 / range.x; }
  var word = 0u;
  for (var k = 0u; k < 8u; k++) {
    word |= u32(clamp(round((element(i * 8u + k) - range.y) * inverse), 0.0, 15.0)) << (k * 4u);
  }
  return word;
}

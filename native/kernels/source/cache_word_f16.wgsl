// cache_word: the i-th word of a head as a cache in f16 holds it.
fn cache_word(i: u32) -> u32 { return pack2x16float(vec2f(element(i * 2u), element(i * 2u + 1u))); }

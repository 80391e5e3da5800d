// cache_word: the i-th word of a head as a cache in f32 holds it.
fn cache_word(i: u32) -> u32 { return bitcast<u32>(element(i)); }

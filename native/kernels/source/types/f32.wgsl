// f32: the halves of a chunk of eight weights, which is two words of 16 bytes. The second half comes from the second word.
fn @KINDlow(chunk: vec4u) -> vec4f { return bitcast<vec4f>(chunk); }
fn @KINDhigh(chunk: vec4u) -> vec4f { return bitcast<vec4f>(chunk); }

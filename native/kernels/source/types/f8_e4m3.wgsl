// f8_e4m3: the halves of a chunk of eight weights: [bytes 0 to 3, bytes 4 to 7, scale, 0].
fn @KINDlow(chunk: vec4u) -> vec4f { return bitcast<f32>(chunk.z) * e4m3(chunk.x); }
fn @KINDhigh(chunk: vec4u) -> vec4f { return bitcast<f32>(chunk.z) * e4m3(chunk.y); }

// f16: the halves of a chunk of eight weights, 16 bytes.
fn @KINDlow(chunk: vec4u) -> vec4f { return vec4f(unpack2x16float(chunk.x), unpack2x16float(chunk.y)); }
fn @KINDhigh(chunk: vec4u) -> vec4f { return vec4f(unpack2x16float(chunk.z), unpack2x16float(chunk.w)); }

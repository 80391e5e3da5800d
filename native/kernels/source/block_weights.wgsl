// The halves of a chunk of eight weights of a type in blocks, out of what chunk_of() returns: [bytes 0 to 3, bytes 4 to 7, scale,
// minimum or zero point]. The host puts the formula of the type in place of @WEIGHTS (quantized_layout.h).
fn @KINDdecode(chunk: vec4u, codes: u32) -> vec4f {
  let bytes = (vec4u(codes) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
  let scale = bitcast<f32>(chunk.z);
  return @WEIGHTS;
}
fn @KINDlow(chunk: vec4u) -> vec4f { return @KINDdecode(chunk, chunk.x); }
fn @KINDhigh(chunk: vec4u) -> vec4f { return @KINDdecode(chunk, chunk.y); }

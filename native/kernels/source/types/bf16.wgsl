// bf16: the halves of a chunk of eight weights, 16 bytes.
fn @KINDlow(chunk: vec4u) -> vec4f {
  return bitcast<vec4f>(vec4u(chunk.x << 16u, chunk.x & 0xffff0000u, chunk.y << 16u, chunk.y & 0xffff0000u));
}
fn @KINDhigh(chunk: vec4u) -> vec4f {
  return bitcast<vec4f>(vec4u(chunk.z << 16u, chunk.z & 0xffff0000u, chunk.w << 16u, chunk.w & 0xffff0000u));
}

// iq4_xs: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// The head is d and the upper 2 bits of the scales, then their lower 4 bits.
struct Unit { codes: vec4u, head: vec2u }
fn load_unit(unit: u32, block: u32, blocks: u32) -> Unit {
  return Unit(quad(unit), pair(blocks * 16u + block));
}
fn chunk_of(own: Unit, k: u32, group: u32) -> vec4u {
  let codes = own.codes[k];
  let low = iq4_xs_values(codes & 0x0f0f0f0fu);
  let high = iq4_xs_values((codes >> 4u) & 0x0f0f0f0fu);
  let part = group % 2u * 4u + k;
  let packed = ((own.head.y >> (part * 4u)) & 15u) | (((own.head.x >> (16u + part * 2u)) & 3u) << 4u);
  let scale = unpack2x16float(own.head.x).x * f32(i32(packed) - 32);
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

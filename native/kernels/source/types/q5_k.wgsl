// q5_k: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// The head is d and dmin, then the twelve bytes of scales and minima: see k_scale_and_min.wgsl.
struct Unit { codes: vec4u, fifth: u32, head: vec4u }
fn load_unit(unit: u32, block: u32, blocks: u32) -> Unit {
  return Unit(quad(unit), word(blocks * 32u + unit), quad(blocks * 10u + block));
}
fn chunk_of(own: Unit, k: u32, group: u32) -> vec4u {
  let codes = own.codes[k];
  let fifth = own.fifth >> (k * 2u);
  let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
  let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((fifth >> 1u) & 0x01010101u) << 4u);
  let factors = unpack2x16float(own.head.x) * k_scale_and_min(own.head.yzw, group % 2u * 4u + k);
  let scale = factors.x;
  let min = factors.y;
  return vec4u(low, high, bitcast<u32>(scale), bitcast<u32>(min));
}

// q5_0: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
struct Unit { codes: vec4u, fifth: u32 }
fn load_unit(unit: u32, blocks: u32) -> Unit {
  return Unit(quad(unit), word(blocks * 4u + unit));
}
fn chunk_of(own: Unit, k: u32, tail: u32) -> vec4u {
  let codes = own.codes[k];
  let fifth = own.fifth >> (k * 2u);
  let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
  let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((fifth >> 1u) & 0x01010101u) << 4u);
  let scale = unpack2x16float(tail).x;
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

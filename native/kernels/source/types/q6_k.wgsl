// q6_k: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// `scales` has the scales of four groups, every second one.
struct Unit { codes: vec4u, upper: vec2u, scales: u32 }
fn load_unit(unit: u32, blocks: u32) -> Unit {
  return Unit(quad(unit), pair(blocks * 16u + unit), word(blocks * 48u + unit / 2u));
}
fn chunk_of(own: Unit, k: u32, tail: u32) -> vec4u {
  let codes = own.codes[k];
  let upper = own.upper[k / 2u] >> (k % 2u * 4u);
  let low = (codes & 0x0f0f0f0fu) | ((upper & 0x03030303u) << 4u);
  let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((upper >> 2u) & 0x03030303u) << 4u);
  let scale = unpack2x16float(tail).x * f32(i32(own.scales << (24u - k * 8u)) >> 24u);
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

// q2_k: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// `scales` has the scales and minima of every second group.
struct Unit { codes: vec4u, scales: vec2u }
fn load_unit(unit: u32, blocks: u32) -> Unit {
  return Unit(quad(unit), pair(blocks * 8u + unit / 2u));
}
fn chunk_of(own: Unit, k: u32, tail: u32) -> vec4u {
  let codes = own.codes[k / 2u] >> (k % 2u * 4u);
  let low = codes & 0x03030303u;
  let high = (codes >> 2u) & 0x03030303u;
  let packed = own.scales[k / 4u] >> (k % 4u * 8u);
  let factors = unpack2x16float(tail) * vec2f(f32(packed & 15u), f32((packed >> 4u) & 15u));
  let scale = factors.x;
  let min = factors.y;
  return vec4u(low, high, bitcast<u32>(scale), bitcast<u32>(min));
}

// tq2_0: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
struct Unit { codes: vec4u }
fn load_unit(unit: u32) -> Unit {
  return Unit(quad(unit));
}
fn chunk_of(own: Unit, k: u32, tail: u32) -> vec4u {
  let codes = own.codes[k / 2u] >> (k % 2u * 4u);
  let low = codes & 0x03030303u;
  let high = (codes >> 2u) & 0x03030303u;
  let scale = unpack2x16float(tail).x;
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

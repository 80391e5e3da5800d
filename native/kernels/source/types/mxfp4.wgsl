// mxfp4: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// The two smallest scales are subnormal, so their bits are made apart.
struct Unit { codes: vec4u }
fn load_unit(unit: u32) -> Unit {
  return Unit(quad(unit));
}
fn chunk_of(own: Unit, k: u32, tail: u32) -> vec4u {
  let codes = own.codes[k];
  let low = mxfp4_values(codes & 0x0f0f0f0fu);
  let high = mxfp4_values((codes >> 4u) & 0x0f0f0f0fu);
  let exponent = tail & 0xffu;
  let scale = bitcast<f32>(select((exponent - 1u) << 23u, 0x00200000u << exponent, exponent < 2u));
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

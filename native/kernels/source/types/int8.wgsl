// int8_128 and int8_32: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is
// returned. The tail is the block's scale (f32) and its zero point.
struct Unit { codes: vec4u }
fn load_unit(unit: u32) -> Unit {
  return Unit(quad(unit));
}
fn chunk_of(own: Unit, k: u32, tail: vec2u) -> vec4u {
  let low = own.codes[k * 2u];
  let high = own.codes[k * 2u + 1u];
  let zero = f32(tail.y);
  return vec4u(low, high, tail.x, bitcast<u32>(zero));
}

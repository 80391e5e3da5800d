// fp4_64: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned. The tail
// has the factor (f32) and the four scales of a block, each for two chunks. Subnormal ones are made from their fractions.
struct Unit { codes: vec4u }
fn load_unit(unit: u32) -> Unit {
  return Unit(quad(unit));
}
fn chunk_of(own: Unit, unit: u32, k: u32, tail: vec2u) -> vec4u {
  let codes = own.codes[k];
  let low = fp4_64_values(codes & 0x0f0f0f0fu);
  let high = fp4_64_values((codes >> 4u) & 0x0f0f0f0fu);
  let bits = (tail.y >> (@NAME_chunk(unit, k) % 8u / 2u * 8u)) & 0xffu;
  let normal = bitcast<f32>((bits << 20u) + 0x3b800000u);
  let half_of_scale = select(normal, f32(bits) * 0x1p-10f, bits < 8u);
  let scale = half_of_scale * bitcast<f32>(tail.x);
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

// nvfp4: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned. The tail
// has the four scales of a block, each for two chunks. Subnormal ones are made from their fractions; NaN counts as 0.
struct Unit { codes: vec4u }
fn load_unit(unit: u32) -> Unit {
  return Unit(quad(unit));
}
fn chunk_of(own: Unit, unit: u32, k: u32, tail: u32) -> vec4u {
  let codes = own.codes[k];
  let low = nvfp4_values(codes & 0x0f0f0f0fu);
  let high = nvfp4_values((codes >> 4u) & 0x0f0f0f0fu);
  let bits = (tail >> (@NAME_chunk(unit, k) % 8u / 2u * 8u)) & 0xffu;
  let magnitude = bits & 0x7fu;
  let normal = bitcast<f32>((magnitude << 20u) + 0x3b800000u);
  let half_of_scale = select(normal, f32(magnitude) * 0x1p-10f, magnitude < 8u);
  let scale = select(half_of_scale, 0.0, bits == 0x7fu);
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

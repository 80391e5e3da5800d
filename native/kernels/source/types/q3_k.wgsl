// q3_k: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// `lower` has the lower 4 bits of the scales of every second group, `upper` the upper 2 bits of all scales.
struct Unit { codes: vec4u, third: vec2u, lower: u32, upper: u32 }
fn load_unit(unit: u32, block: u32, blocks: u32, lane: u32) -> Unit {
  return Unit(quad(unit), pair(blocks * 8u + unit), word(blocks * 24u + block * 3u + lane / 2u),
    word(blocks * 24u + block * 3u + 2u));
}
fn chunk_of(own: Unit, k: u32, lane: u32, tail: u32) -> vec4u {
  let codes = own.codes[k / 2u] >> (k % 2u * 4u);
  let third = own.third[k / 4u] >> (k % 4u * 2u);
  let low = (codes & 0x03030303u) | ((third & 0x01010101u) << 2u);
  let high = ((codes >> 2u) & 0x03030303u) | (((third >> 1u) & 0x01010101u) << 2u);
  let packed = ((own.lower >> (k * 4u)) & 15u) | (((own.upper >> (lane / 2u * 16u + k * 2u)) & 3u) << 4u);
  let scale = unpack2x16float(tail).x * f32(i32(packed) - 32);
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

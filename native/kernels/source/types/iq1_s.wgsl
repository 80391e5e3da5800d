// iq1_s: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned. `high` has 16
// bits for each group: the upper bits of four indices, a scale, and the sign of 1/8.

// Four points of an entry, 2 bits each, in eighths plus `eighth`, as bytes: 120 + 8 * bits is 128 more than eight times the point.
fn iq1_s_values(entry: u32, eighth: u32) -> u32 {
  let points = (vec4u(entry) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(3u);
  let bytes = (points * 8u + vec4u(120u + eighth)) << vec4u(0u, 8u, 16u, 24u);
  return bytes.x | bytes.y | bytes.z | bytes.w;
}
struct Unit { codes: vec2u, high: vec4u }
fn load_unit(unit: u32, block: u32, blocks: u32) -> Unit {
  return Unit(pair(unit), quad(blocks * 2u + block));
}
fn chunk_of(own: Unit, k: u32, lane: u32, tail: u32) -> vec4u {
  let high = (own.high[k / 2u] >> (k % 2u * 16u)) & 0xffffu;
  let index = (own.codes[k / 4u] >> (k % 4u * 8u)) & 0xffu;
  let entry = iq1_s_entry(index | (((high >> (lane * 3u)) & 7u) << 8u));
  let eighth = select(1u, 0xffffffffu, high >= 0x8000u);
  let low = iq1_s_values(entry, eighth);
  let upper = iq1_s_values(entry >> 8u, eighth);
  let scale = unpack2x16float(tail).x * f32(((high >> 12u) & 7u) * 2u + 1u) * 0.125;
  return vec4u(low, upper, bitcast<u32>(scale), 0u);
}

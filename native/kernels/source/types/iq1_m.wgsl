// iq1_m: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned. `scales` has
// the block's last two words of scales, then its first two. `high` and `more_high` have 4 bits for each chunk: the upper bits of its index
// and the sign of 1/8.

// Four points of an entry, 2 bits each, in eighths plus `eighth`, as bytes: 120 + 8 * bits is 128 more than eight times the point.
fn iq1_m_values(entry: u32, eighth: u32) -> u32 {
  let points = (vec4u(entry) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(3u);
  let bytes = (points * 8u + vec4u(120u + eighth)) << vec4u(0u, 8u, 16u, 24u);
  return bytes.x | bytes.y | bytes.z | bytes.w;
}
struct Unit { codes: vec2u, scales: vec2u, high: vec2u, more_high: vec2u }
fn load_unit(unit: u32, block: u32, blocks: u32) -> Unit {
  return Unit(pair(unit), pair(blocks * 4u + block * 3u), pair(blocks * 4u + block * 3u + 1u), pair(blocks * 4u + block * 3u + 2u));
}
fn chunk_of(own: Unit, k: u32, lane: u32) -> vec4u {
  let words = select(own.high, own.more_high, k >= 4u);
  let high = (words[k / 2u % 2u] >> (k % 2u * 16u + lane * 4u)) & 15u;
  let index = (own.codes[k / 4u] >> (k % 4u * 8u)) & 0xffu;
  let entry = iq1_m_entry(index | ((high & 7u) << 8u));
  let eighth = select(1u, 0xffffffffu, high >= 8u);
  let low = iq1_m_values(entry, eighth);
  let upper = iq1_m_values(entry >> 8u, eighth);
  let first = (vec2u(own.scales.y) >> vec2u(12u, 28u)) & vec2u(15u);
  let last = (vec2u(own.scales.x) >> vec2u(12u, 28u)) & vec2u(15u);
  let d = unpack2x16float(first.x | (first.y << 4u) | (last.x << 8u) | (last.y << 12u)).x;
  let packed = select(own.scales.y, own.scales.x, k >= 4u) >> (k / 2u % 2u * 16u + (k % 2u * 2u + lane / 2u) * 3u);
  let scale = d * f32((packed & 7u) * 2u + 1u) * 0.125;
  return vec4u(low, upper, bitcast<u32>(scale), 0u);
}

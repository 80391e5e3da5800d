// iq3_s: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned. A lane has
// two words of signs; `ninth` has the ninth bits of the indices of two lanes, `scales` the scales of all groups.

// The four magnitudes 1, 3, ... 15 of an entry, 4 bits each, with their signs, as bytes: 128 is added to each.
fn iq3_s_values(entry: u32, signs: u32) -> u32 {
  var bytes = 0u;
  for (var i = 0u; i < 4u; i++) {
    let value = ((entry >> (i * 4u)) & 7u) * 2u + 1u;
    bytes |= select(128u + value, 128u - value, ((signs >> i) & 1u) == 1u) << (i * 8u);
  }
  return bytes;
}
struct Unit { codes: vec4u, signs: vec2u, ninth: u32, scales: u32 }
fn load_unit(unit: u32, block: u32, blocks: u32, lane: u32) -> Unit {
  return Unit(quad(unit), vec2u(word(blocks * 16u + block * 11u + lane * 2u), word(blocks * 16u + block * 11u + lane * 2u + 1u)),
    word(blocks * 16u + block * 11u + 8u + lane / 2u), word(blocks * 16u + block * 11u + 10u));
}
fn chunk_of(own: Unit, k: u32, lane: u32, tail: u32) -> vec4u {
  let indices = own.codes[k / 2u] >> (k % 2u * 16u);
  let ninth = own.ninth >> (lane % 2u * 16u + k * 2u);
  let signs = own.signs[k / 4u] >> (k % 4u * 8u);
  let low = iq3_s_values(iq3_s_entry((indices & 0xffu) | ((ninth & 1u) << 8u)), signs);
  let high = iq3_s_values(iq3_s_entry(((indices >> 8u) & 0xffu) | ((ninth & 2u) << 7u)), signs >> 4u);
  let scale = unpack2x16float(tail).x * f32(((own.scales >> (k * 4u)) & 15u) * 2u + 1u);
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

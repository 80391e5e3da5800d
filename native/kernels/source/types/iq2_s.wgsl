// iq2_s: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// A chunk's code is the lower bits of its index, then its signs. `upper` has the upper bits of the chunks of two lanes, `scales` the
// scales of every second group.
struct Unit { codes: vec4u, upper: u32, scales: u32 }
fn load_unit(unit: u32, block: u32, blocks: u32, lane: u32) -> Unit {
  return Unit(quad(unit), word(blocks * 16u + block * 4u + lane / 2u), word(blocks * 16u + block * 4u + 2u + lane / 2u));
}
fn chunk_of(own: Unit, k: u32, lane: u32, tail: u32) -> vec4u {
  let code = (own.codes[k / 2u] >> (k % 2u * 16u)) & 0xffffu;
  let upper = (own.upper >> (lane % 2u * 16u + k * 2u)) & 3u;
  let entry = iq2_s_entry((code & 0xffu) | (upper << 8u));
  let signs = code >> 8u;
  let low = iq2_values(entry, signs);
  let high = iq2_values(entry >> 8u, signs >> 4u);
  let scale = unpack2x16float(tail).x * (0.5 + f32((own.scales >> (k * 4u)) & 15u)) * 0.25;
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

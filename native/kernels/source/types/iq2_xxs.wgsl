// iq2_xxs: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// Word i of the eight words of signs is lane i % 4's: 28 bits for four of its chunks, below the scale of the 32 weights that
// are the lanes' i-th chunks.
struct Unit { codes: vec2u, signs: vec4u, more_signs: vec4u }
fn load_unit(unit: u32, block: u32, blocks: u32) -> Unit {
  return Unit(pair(unit), quad(blocks * 2u + block * 2u), quad(blocks * 2u + block * 2u + 1u));
}
fn chunk_of(own: Unit, k: u32, lane: u32, tail: u32) -> vec4u {
  let words = select(own.signs, own.more_signs, k >= 4u);
  let signs = grid_signs((words[lane] >> (k % 4u * 7u)) & 127u);
  let entry = iq2_xxs_entry((own.codes[k / 4u] >> (k % 4u * 8u)) & 0xffu);
  let low = iq2_values(entry, signs);
  let high = iq2_values(entry >> 8u, signs >> 4u);
  let scale = unpack2x16float(tail).x * (0.5 + f32(words[k % 4u] >> 28u)) * 0.25;
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

// iq3_xxs: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
struct Unit { codes: vec4u, signs: vec4u, more_signs: vec4u }
fn load_unit(unit: u32, block: u32, blocks: u32) -> Unit {
  return Unit(quad(unit), quad(blocks * 4u + block * 2u), quad(blocks * 4u + block * 2u + 1u));
}
fn chunk_of(own: Unit, k: u32, lane: u32, tail: u32) -> vec4u {
  let words = select(own.signs, own.more_signs, k >= 4u);
  let signs = grid_signs((words[lane] >> (k % 4u * 7u)) & 127u);
  let indices = own.codes[k / 2u] >> (k % 2u * 16u);
  let low = iq3_values(iq3_xxs_entry(indices & 0xffu), signs);
  let high = iq3_values(iq3_xxs_entry((indices >> 8u) & 0xffu), signs >> 4u);
  let scale = unpack2x16float(tail).x * (0.5 + f32(words[k % 4u] >> 28u)) * 0.5;
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

// iq2_xs: a unit of a row, and the eight weights of its k-th chunk. quantized_layout.h says how rows lie and what is returned.
// `scales` has the scales of every second group.
struct Unit { codes: vec4u, scales: u32 }
fn load_unit(unit: u32, blocks: u32) -> Unit {
  return Unit(quad(unit), word(blocks * 16u + unit / 2u));
}
fn chunk_of(own: Unit, k: u32, tail: u32) -> vec4u {
  let index = (own.codes[k / 2u] >> (k % 2u * 16u)) & 0xffffu;
  let signs = grid_signs(index >> 9u);
  let entry = iq2_xs_entry(index & 511u);
  let low = iq2_values(entry, signs);
  let high = iq2_values(entry >> 8u, signs >> 4u);
  let scale = unpack2x16float(tail).x * (0.5 + f32((own.scales >> (k * 4u)) & 15u)) * 0.25;
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}

// iq2_xxs for products in whole numbers. dots_layout.h says how rows lie. A group of 32 weights has four indices of a
// byte, and a word with 28 signs below a scale of 4 bits: bit 8 * i + 4 * half + chunk is the sign of weight
// 8 * chunk + 4 * half + i. The four signs that are missing make the number of minuses in each chunk even.
var<workgroup> iq2_xxs_magnitudes: array<vec2u, 256>;

// All 32 signs of a group.
fn iq2_xxs_signs(word: u32) -> u32 {
  let stored = word & 0x0fffffffu;
  var parity = stored ^ (stored << 16u);
  parity ^= parity << 8u;
  parity ^= parity << 4u;
  return stored | (parity & 0xf0000000u);
}
// Four signed weights: where a byte of `signs` has its lowest bit, the magnitude's two's complement. No magnitude is 0, so
// none carries.
fn iq2_xxs_signed(magnitudes: u32, signs: u32) -> u32 {
  let minus = signs & 0x01010101u;
  return (magnitudes ^ (minus * 255u)) + minus;
}
// The eight magnitudes of an entry of the grid, 2 bits each there, as bytes.
fn iq2_xxs_eight(entry: u32) -> vec2u {
  var eight = vec2u(0u);
  for (var i = 0u; i < 4u; i++) {
    let codes = (vec2u(entry, entry >> 8u) >> vec2u(i * 2u)) & vec2u(3u);
    eight |= ((vec2u(IQ2_VALUES) >> (codes * 8u)) & vec2u(0xffu)) << vec2u(i * 8u);
  }
  return eight;
}
fn iq2_xxs_prepare(thread: u32, threads: u32) {
  for (var i = thread; i < 256u; i += threads) { iq2_xxs_magnitudes[i] = iq2_xxs_eight(iq2_xxs_entry(i)); }
}
struct Unit { codes: vec2u, signs: vec2u }
fn load_unit(unit: u32, blocks: u32) -> Unit {
  return Unit(pair(unit), pair(blocks * 4u + unit));
}
fn chunk_of(own: Unit, k: u32, tail: u32) -> vec4u {
  let word = own.signs[k / 4u];
  let signs = iq2_xxs_signs(word) >> (k % 4u);
  let eight = iq2_xxs_eight(iq2_xxs_entry((own.codes[k / 4u] >> (k % 4u * 8u)) & 0xffu));
  let low = iq2_xxs_signed(eight.x, signs) ^ 0x80808080u;
  let high = iq2_xxs_signed(eight.y, signs >> 4u) ^ 0x80808080u;
  let scale = unpack2x16float(tail).x * (0.5 + f32(word >> 28u)) * 0.25;
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}
struct Block { indices: u32, signs: u32, tail: u32 }
fn load_block(block: u32, blocks: u32) -> Block {
  return Block(word(block), word(blocks + block), word(blocks * 2u + block / 16u));
}
fn block_weights(own: Block, block: u32) -> BlockWeights {
  let signs = iq2_xxs_signs(own.signs);
  let a = iq2_xxs_magnitudes[own.indices & 0xffu];
  let b = iq2_xxs_magnitudes[(own.indices >> 8u) & 0xffu];
  let c = iq2_xxs_magnitudes[(own.indices >> 16u) & 0xffu];
  let d = iq2_xxs_magnitudes[own.indices >> 24u];
  let first = vec4u(iq2_xxs_signed(a.x, signs), iq2_xxs_signed(a.y, signs >> 4u), iq2_xxs_signed(b.x, signs >> 1u),
    iq2_xxs_signed(b.y, signs >> 5u));
  let last = vec4u(iq2_xxs_signed(c.x, signs >> 2u), iq2_xxs_signed(c.y, signs >> 6u), iq2_xxs_signed(d.x, signs >> 3u),
    iq2_xxs_signed(d.y, signs >> 7u));
  // d * (0.5 + scale) / 4 is d / 8 times an odd number, by which the whole sum is multiplied: at most 1.39e9.
  return BlockWeights(first, last, unpack2x16float(own.tail >> (block / 8u % 2u * 16u)).x * 0.125,
    i32(((own.signs >> 27u) & 30u) | 1u), 0.0);
}

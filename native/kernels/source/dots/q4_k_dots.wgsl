// q4_k for products in whole numbers. dots_layout.h says how rows lie. The head of 256 weights is d and dmin, then a
// byte for each group (its scale's 6 bits, and the upper 2 of its minimum above), then 4 bits for each group: the lower
// ones of its minimum.

// [scale, minimum] of a group, 6 bits each.
fn q4_k_factors(head: vec4u, group: u32) -> vec2u {
  let own = select(head.y, head.z, group >= 4u) >> (group % 4u * 8u);
  return vec2u(own & 63u, ((own >> 2u) & 48u) | ((head.w >> (group * 4u)) & 15u));
}
struct Unit { codes: vec4u, head: vec4u }
fn load_unit(unit: u32, block: u32, blocks: u32) -> Unit {
  return Unit(quad(unit), quad(blocks * 8u + block));
}
fn chunk_of(own: Unit, k: u32, unit: u32) -> vec4u {
  let low = own.codes[k] & 0x0f0f0f0fu;
  let high = (own.codes[k] >> 4u) & 0x0f0f0f0fu;
  let factors = unpack2x16float(own.head.x) * vec2f(q4_k_factors(own.head, unit % 8u));
  return vec4u(low, high, bitcast<u32>(factors.x), bitcast<u32>(factors.y));
}
struct Block { codes: vec4u, head: vec4u }
fn load_block(block: u32, blocks: u32) -> Block {
  return Block(quad(block), quad(blocks + block / 8u));
}
fn block_weights(own: Block, block: u32) -> BlockWeights {
  let low = own.codes & vec4u(0x0f0f0f0fu);
  let high = (own.codes >> vec4u(4u)) & vec4u(0x0f0f0f0fu);
  let scales = unpack2x16float(own.head.x);
  let factors = q4_k_factors(own.head, block % 8u);
  return BlockWeights(vec4u(low.x, high.x, low.y, high.y), vec4u(low.z, high.z, low.w, high.w), scales.x,
    i32(factors.x), scales.y * f32(factors.y));
}

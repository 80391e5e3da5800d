// q8_0 for products in whole numbers: codes are signed bytes. dots_layout.h says how rows lie.
struct Unit { codes: vec4u }
fn load_unit(unit: u32) -> Unit {
  return Unit(quad(unit));
}
fn chunk_of(own: Unit, k: u32, tail: u32) -> vec4u {
  let low = own.codes[k * 2u] ^ 0x80808080u;
  let high = own.codes[k * 2u + 1u] ^ 0x80808080u;
  let scale = unpack2x16float(tail).x;
  return vec4u(low, high, bitcast<u32>(scale), 0u);
}
struct Block { first: vec4u, last: vec4u, tail: u32 }
fn load_block(block: u32, blocks: u32) -> Block {
  return Block(quad(block * 2u), quad(block * 2u + 1u), word(blocks * 8u + block / 2u));
}
fn block_weights(own: Block, block: u32) -> BlockWeights {
  let scale = unpack2x16float(own.tail >> (block % 2u * 16u)).x;
  return BlockWeights(own.first, own.last, scale, 1, 0.0);
}

// sum_@NAME: the products of four weight rows with TILE_ROWS rows of activations, in whole numbers, for one thread of a team.
// Text for kernels, which set TILE_ROWS, LANES and INPUT_BLOCKS (blocks of a row of planes), bind `planes` and `scales`,
// set @UPPER_INPUT, the block of such a row that the first weights are multiplied by, and declare load_@NAME(), which loads a
// block of each of the four rows.
fn add_@NAME(own: ptr<function, array<@NAME_Block, 4>>, block: u32, x_at: ptr<function, array<u32, TILE_ROWS>>,
         sums: ptr<function, array<vec4f, TILE_ROWS>>) {
  var w: array<BlockWeights, 4>;
  for (var o = 0u; o < 4u; o++) { w[o] = @NAME_weights((*own)[o], block); }
  for (var r = 0u; r < TILE_ROWS; r++) {
    let x = input_block((*x_at)[r], @UPPER_INPUT + block);
    for (var o = 0u; o < 4u; o++) { (*sums)[r][o] = add_block(w[o], x, @UPPER_HAS_MIN, (*sums)[r][o]); }
  }
}

fn sum_@NAME(lane: u32, part: u32, weight_at: ptr<function, array<u32, 4>>, x_at: ptr<function, array<u32, TILE_ROWS>>,
         sums: ptr<function, array<vec4f, TILE_ROWS>>) {
  const last = max(@UPPER_BLOCKS, 1u) - 1u;
  // The next block is under way while one is multiplied. Past the last block it is loaded again: loads without conditions
  // are not moved behind the products.
  var even: array<@NAME_Block, 4>;
  load_@NAME(part, weight_at, min(lane, last), &even);
  for (var block = lane; block < @UPPER_BLOCKS; block += LANES * 2u) {
    var odd: array<@NAME_Block, 4>;
    load_@NAME(part, weight_at, min(block + LANES, last), &odd);
    add_@NAME(&even, block, x_at, sums);
    load_@NAME(part, weight_at, min(block + LANES * 2u, last), &even);
    if (@UPPER_BLOCKS % (LANES * 2u) == 0u || block + LANES < @UPPER_BLOCKS) {
      add_@NAME(&odd, block + LANES, x_at, sums);
    }
  }
}

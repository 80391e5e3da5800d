// Products of 32 weights with 32 activations in whole numbers. Text for other kernels, which bind `planes` and `scales` as
// round_rows makes them and set INPUT_BLOCKS, the blocks of a row.
// A block's weights as signed bytes, in order; weight = scale * factor * byte - min.
struct BlockWeights {
  first: vec4u,
  last: vec4u,
  scale: f32,
  factor: i32,
  min: f32,
}
// A block of activations as round_rows.wgsl makes it: two planes of bytes, their scale, and the scaled sum.
struct BlockInput {
  high_first: vec4u,
  high_last: vec4u,
  low_first: vec4u,
  low_last: vec4u,
  scale: f32,
  sum: f32,
}

fn dot_16(weights: vec4u, x: vec4u) -> i32 {
  return dot4I8Packed(weights.x, x.x) + dot4I8Packed(weights.y, x.y) + dot4I8Packed(weights.z, x.z) +
         dot4I8Packed(weights.w, x.w);
}
// Adds a block's product. Only the last addition rounds: the sum is at most 32 * 128 * 32639 before its factor.
fn add_block(own: BlockWeights, x: BlockInput, has_min: bool, before: f32) -> f32 {
  let high = dot_16(own.first, x.high_first) + dot_16(own.last, x.high_last);
  let low = dot_16(own.first, x.low_first) + dot_16(own.last, x.low_last);
  let sum = fma(own.scale * x.scale, f32((high * 256 + low) * own.factor), before);
  if (has_min) { return fma(own.min, -x.sum, sum); }
  return sum;
}
// A block of a row of planes.
fn input_block(row: u32, block: u32) -> BlockInput {
  let first = row * 4u * INPUT_BLOCKS + block;
  let scale = scales[row * INPUT_BLOCKS + block];
  return BlockInput(planes[first], planes[first + INPUT_BLOCKS], planes[first + 2u * INPUT_BLOCKS],
    planes[first + 3u * INPUT_BLOCKS], scale.x, scale.y);
}

// round_rows: rows of activations in whole numbers of 16 bits, as two planes of signed bytes. In a block of 32, x becomes
// scale * (256 * high + low): the nearest number, of two the even one, where the scale is the least power of two (from
// 2^-126 on) for which none is above 32639 = 127 * 256 + 127. Nothing else rounds, so every device gives the same bits. A
// block with an infinity or a NaN gets the scale NaN.
// dispatch  rows, 1; with HAS_NORM false: rows, ceil(BLOCKS / THREADS)
// x         [rows, X_STRIDE]; with HAS_NORM x becomes x * gain / sqrt(mean(x^2) + EPSILON) first
// gain      [X_STRIDE]
// step      step state: with IS_GATHERED, which rows of x
// planes    [rows, 4, BLOCKS] x 16 bytes out: high of a block's first 16, high of its last 16, low of both
// scales    [rows, BLOCKS] out: the scale, and the scale times the sum of the block's numbers, exactly
@group(0) @binding(0) var<storage, read> x: array<X4>;
@group(0) @binding(1) var<storage, read> gain: array<vec4f>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read_write> planes: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> scales: array<vec2f>;

const SUMS = 1u;

@compute @workgroup_size(THREADS)
fn round_rows(at: Invocation) {
  let row = at.group.x;
  var source = row;
  if (IS_GATHERED) { source = step[step[STEP_GATHERED] + row]; }
  source *= X_STRIDE / 4u;
  var factor = 1.0;
  if (HAS_NORM) {
    var sums: array<f32, SUMS>;
    for (var i = at.thread; i < BLOCKS * 8u; i += THREADS) {
      let value = vec4f(x[source + i]);
      sums[0] += dot(value, value);
    }
    workgroup_sums(at, &sums);
    factor = inverseSqrt(totals[0] / NORM_SIZE + EPSILON);
  }
  let first = select(at.group.y * THREADS + at.thread, at.thread, HAS_NORM);
  let after = select(min(BLOCKS, (at.group.y + 1u) * THREADS), BLOCKS, HAS_NORM);
  for (var block = first; block < after; block += THREADS) {
    var values: array<vec4f, 8>;
    // Magnitudes compare alike as integers, and an infinity or a NaN is the greatest.
    var most = 0u;
    for (var i = 0u; i < 8u; i++) {
      var value = vec4f(x[source + block * 8u + i]);
      if (HAS_NORM) { value *= gain[block * 8u + i] * factor; }
      values[i] = value;
      let bits = bitcast<vec4u>(value) & vec4u(0x7fffffffu);
      most = max(most, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    let is_finite = most < 0x7f800000u;
    // Biased exponents: of the scale, and of its inverse.
    var exponent = min(max(most >> 23u, 15u), 254u) - 14u;
    let largest = bitcast<f32>(most) * bitcast<f32>((254u - exponent) << 23u);
    exponent += select(0u, 1u, largest >= 32639.5);
    let inverse = bitcast<f32>((254u - exponent) << 23u);
    var high: array<vec4u, 2>;
    var low: array<vec4u, 2>;
    var sum = vec4i(0);
    for (var i = 0u; i < 8u; i++) {
      let limited = clamp(round(values[i] * inverse), vec4f(-32639.0), vec4f(32639.0));
      let whole = select(vec4i(0), vec4i(limited), is_finite);
      sum += whole;
      // pack4xI8 keeps each number's low byte.
      high[i / 4u][i % 4u] = pack4xI8((whole + vec4i(128)) >> vec4u(8u));
      low[i / 4u][i % 4u] = pack4xI8(whole);
    }
    let to = row * 4u * BLOCKS + block;
    planes[to] = high[0];
    planes[to + BLOCKS] = high[1];
    planes[to + BLOCKS * 2u] = low[0];
    planes[to + BLOCKS * 3u] = low[1];
    var scale = bitcast<f32>(exponent << 23u);
    if (!is_finite) { scale = bitcast<f32>(most | 0x00400000u); }
    scales[row * BLOCKS + block] = vec2f(scale, scale * f32(sum.x + sum.y + sum.z + sum.w));
  }
}

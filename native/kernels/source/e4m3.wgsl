// e4m3: the values of four bytes in FP8 (E4M3). A GPU may take a subnormal f32 for zero, so the values of subnormal bytes are made
// from their fractions.
fn e4m3(codes: u32) -> vec4f {
  let bytes = (vec4u(codes) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
  let magnitudes = bytes & vec4u(0x7fu);
  let normal = bitcast<vec4f>((magnitudes << vec4u(20u)) + vec4u(0x3c000000u));
  let values = select(normal, vec4f(magnitudes) * 0x1p-9f, magnitudes < vec4u(8u));
  return bitcast<vec4f>(bitcast<vec4u>(values) | ((bytes & vec4u(0x80u)) << vec4u(24u)));
}

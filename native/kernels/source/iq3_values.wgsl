// iq3_values: four magnitudes of a grid's entry, 4 bits each, with their signs, as bytes: 128 is added to each value. The host puts
// the eight magnitudes in place of @IQ3_VALUES.
const IQ3_VALUES = @IQ3_VALUES;
fn iq3_values(entry: u32, signs: u32) -> u32 {
  var bytes = 0u;
  for (var i = 0u; i < 4u; i++) {
    let at = (entry >> (i * 4u)) & 7u;
    let value = (IQ3_VALUES[at / 4u] >> (at % 4u * 8u)) & 0xffu;
    bytes |= select(128u + value, 128u - value, ((signs >> i) & 1u) == 1u) << (i * 8u);
  }
  return bytes;
}

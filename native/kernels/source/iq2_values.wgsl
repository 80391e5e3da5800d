// iq2_values: four magnitudes of a grid's entry, 2 bits each, with their signs, as bytes: 128 is added to each value. The host puts
// the three magnitudes in place of @IQ2_VALUES.
const IQ2_VALUES = @IQ2_VALUES;
fn iq2_values(entry: u32, signs: u32) -> u32 {
  var bytes = 0u;
  for (var i = 0u; i < 4u; i++) {
    let value = (IQ2_VALUES >> (((entry >> (i * 2u)) & 3u) * 8u)) & 0xffu;
    bytes |= select(128u + value, 128u - value, ((signs >> i) & 1u) == 1u) << (i * 8u);
  }
  return bytes;
}

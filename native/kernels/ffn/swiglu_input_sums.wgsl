// sum_@NAME: a thread's products for those rows of a tile that are stored as @NAME. They are @UPPER_ROWS rows, from
// @UPPER_FIRST on and @UPPER_STEP apart. Text for swiglu_input.
fn sum_@NAME(thread: u32, row: u32, part: u32, weight_at: ptr<function, array<u32, PRODUCTS>>,
         sums: ptr<function, array<f32, SUMS>>) {
  // All loads of weights come before the first use, so that all of them are under way at once.
  for (var unit = thread; unit < @UPPER_UNITS; unit += THREADS) {
    var units: array<@NAME_Unit, @UPPER_ROWS>;
    load_@NAME(part, weight_at, unit, &units);
    for (var k = 0u; k < @UPPER_UNIT_CHUNKS; k++) {
      let input = input_chunk(row, @NAME_chunk(unit, k), @UPPER_FIRST == 0u, sums);
      for (var i = 0u; i < @UPPER_ROWS; i++) {
        let w = @NAME_values(units[i], unit, k);
        let to = @UPPER_FIRST + i * @UPPER_STEP;
        (*sums)[to] = add_product((*sums)[to], w[0], w[1], input[0], input[1]);
      }
    }
  }
}

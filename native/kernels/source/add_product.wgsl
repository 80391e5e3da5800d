// add_product: sum plus the products of eight weights and eight activations, in the order of the columns. multiply_add() leaves a
// compiler no choice of how to round, so kernels for other numbers of rows give the same bits.
fn add_product(sum: f32, w_low: vec4f, w_high: vec4f, a: vec4f, b: vec4f) -> f32 {
  let first = multiply_add(w_low.w, a.w, multiply_add(w_low.z, a.z, multiply_add(w_low.y, a.y, multiply_add(w_low.x, a.x, sum))));
  return multiply_add(w_high.w, b.w, multiply_add(w_high.z, b.z, multiply_add(w_high.y, b.y, multiply_add(w_high.x, b.x, first))));
}

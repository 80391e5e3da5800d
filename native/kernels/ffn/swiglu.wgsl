// swiglu: silu(gate) * up, where SWIGLU_LIMIT above 0 clamps both first. Text for other kernels, which set
// SWIGLU_LIMIT.
fn swiglu(gate: f32, up: f32) -> f32 {
  var g = gate;
  var u = up;
  if (SWIGLU_LIMIT > 0.0) {
    g = min(g, SWIGLU_LIMIT);
    u = clamp(u, -SWIGLU_LIMIT, SWIGLU_LIMIT);
  }
  return g / (1.0 + exp(-g)) * u;
}

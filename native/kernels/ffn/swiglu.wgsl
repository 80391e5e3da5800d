// swiglu: silu(gate) * up, both clamped first where the model says so. Text for other kernels, which say SWIGLU_LIMIT.
fn swiglu(gate: f32, up: f32) -> f32 {
  var g = gate;
  var u = up;
  if (SWIGLU_LIMIT > 0.0) {
    g = min(g, SWIGLU_LIMIT);
    u = clamp(u, -SWIGLU_LIMIT, SWIGLU_LIMIT);
  }
  return g / (1.0 + exp(-g)) * u;
}

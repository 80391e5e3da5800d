// add_rows: y += x. Adds the experts that the processor computed to the sums of the GPU.
// dispatch  ceil(STRIDE / 4 / 64), rows
// x         [rows, STRIDE]
// y         [rows, STRIDE] in and out
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn add_rows(at: Invocation) {
  let column = at.group.x * 64u + at.thread;
  if (column >= STRIDE / 4u) { return; }
  let i = at.group.y * (STRIDE / 4u) + column;
  y[i] += x[i];
}

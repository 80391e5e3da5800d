// swiglu_sum: the weighted sum of a row's chosen experts, in the order of its choices, for a slice of the outputs.
// dispatch  ceil(SLICE / 64), rows
// parts     [rows, TOP_K, SLICE], the output of swiglu_output_tiled
// weights   [rows, TOP_K]
// experts   [rows, TOP_K] as in swiglu_input
// y         [rows, Y_STRIDE], written from FIRST_OUTPUT on; with ADDS also read
// matches   with swiglu_output_tiled, the CPU's add_down, to 1e-5
@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> experts: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn swiglu_sum(at: Invocation) {
  let output = at.group.x * 64u + at.thread;
  if (output >= SLICE) { return; }
  let to = at.group.y * Y_STRIDE + FIRST_OUTPUT + output;
  var value = 0.0;
  if (ADDS) { value = y[to]; }
  for (var choice = at.group.y * TOP_K; choice < (at.group.y + 1u) * TOP_K; choice++) {
    if (is_on_host(experts[choice])) { continue; }
    value = multiply_add(weights[choice], parts[choice * SLICE + output], value);
  }
  y[to] = value;
}

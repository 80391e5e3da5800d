// attention_reduce: joins the parts of each head's attention.
// dispatch  HEADS, rows
// partial   [rows, HEADS, PARTS, QUARTERS + 1] vec4f, the output of attention
// step      gives the row's position, on which its number of parts depends
// attended  [rows, ATTENDED_STRIDE] out
// matches   with attention, CpuDevice::attention to 1e-5. The order of the sums depends on the number of parts alone,
//           which depends on the row's position alone
@group(0) @binding(0) var<storage, read> partial: array<vec4f>;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> attended: array<E>;

// A thread sums four dimensions over every PART_LANES-th part.
const PART_LANES = max(THREADS / QUARTERS, 1u);
var<workgroup> statistics: array<vec2f, PARTS>;  // each part's maximum and sum of weights
var<workgroup> sums: array<vec4f, PART_LANES * QUARTERS>;

@compute @workgroup_size(THREADS)
fn attention_reduce(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let position = step[step_row(row) + ROW_POSITION];
  var key_count = position + 1u;
  if (WINDOW > 0u) { key_count = min(key_count, WINDOW); }
  let blocks = (key_count + KEY_BLOCK - 1u) / KEY_BLOCK;
  let part_blocks = (blocks + PARTS - 1u) / PARTS;
  let parts = (blocks + part_blocks - 1u) / part_blocks;
  let origin = (row * HEADS + group.x) * PARTS * (QUARTERS + 1u);
  for (var part = thread; part < parts; part += THREADS) {
    statistics[part] = partial[origin + part * (QUARTERS + 1u) + QUARTERS].xy;
  }
  workgroupBarrier();
  var maximum = LOWEST;
  for (var part = 0u; part < parts; part++) { maximum = max(maximum, statistics[part].x); }
  for (var i = thread; i < PART_LANES * QUARTERS; i += THREADS) {
    var sum = vec4f();
    for (var part = i / QUARTERS; part < parts; part += PART_LANES) {
      let weight = exp(statistics[part].x - maximum);
      sum = multiply_add4(vec4f(weight), partial[origin + part * (QUARTERS + 1u) + i % QUARTERS], sum);
    }
    sums[i] = sum;
  }
  workgroupBarrier();
  var weight_sum = 0.0;
  for (var part = 0u; part < parts; part++) {
    weight_sum = multiply_add(exp(statistics[part].x - maximum), statistics[part].y, weight_sum);
  }
  for (var dim = thread; dim < HEAD_DIM; dim += THREADS) {
    var value = 0.0;
    for (var i = 0u; i < PART_LANES; i++) { value += sums[i * QUARTERS + dim / 4u][dim % 4u]; }
    attended[row * ATTENDED_STRIDE + group.x * HEAD_DIM + dim] = E(value / weight_sum);
  }
}

// attention_reduce: puts the parts of a head's attention together.
// dispatch  HEADS, rows
// partial   as attention writes it
// step      step state: how many parts the row has
// attended  [rows, ATTENDED_STRIDE] out
@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> attended: array<E>;

@compute @workgroup_size(64)
fn attention_reduce(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let position = step[STEP_ROWS + row * 4u + 2u];
  var key_count = position + 1u;
  if (WINDOW > 0u) { key_count = min(key_count, WINDOW); }
  let blocks = (key_count + KEY_BLOCK - 1u) / KEY_BLOCK;
  let part_blocks = max(MIN_PART_BLOCKS, (blocks + PARTS - 1u) / PARTS);
  let parts = (blocks + part_blocks - 1u) / part_blocks;
  let origin = (row * HEADS + group.x) * PARTS * (HEAD_DIM + 2u);
  var maximum = LOWEST;
  for (var part = 0u; part < parts; part++) { maximum = max(maximum, partial[origin + part * (HEAD_DIM + 2u) + HEAD_DIM]); }
  for (var dim = thread; dim < HEAD_DIM; dim += 64u) {
    var value = 0.0;
    var sum = 0.0;
    for (var part = 0u; part < parts; part++) {
      let at = origin + part * (HEAD_DIM + 2u);
      let weight = exp(partial[at + HEAD_DIM] - maximum);
      value += weight * partial[at + dim];
      sum += weight * partial[at + HEAD_DIM + 1u];
    }
    attended[row * ATTENDED_STRIDE + group.x * HEAD_DIM + dim] = E(value / sum);
  }
}

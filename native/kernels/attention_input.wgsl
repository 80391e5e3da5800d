// attention_input: finishes q, k and v: q and k normalised per head and, on layers with RoPE, rotated; k and v stored.
// dispatch  HEADS + 2 * KV_HEADS, rows
// gains     [2, HEAD_DIM]: q's, k's
// rope      [ROPE_LOW + ..., HEAD_DIM / 2] of (cosine, sine), the turns of rope_table() (model/rope.h): position p is
//           turned by row p % ROPE_LOW, then by row ROPE_LOW + p / ROPE_LOW
// step, pages  where rows go in the cache
// qkv       [rows, QKV_STRIDE] in; its q part is out
// keys, values  the layer's cache
// matches   reference: the second half of CpuDevice::attention_input, to 1e-6
@group(0) @binding(0) var<storage, read> gains: array<f32>;
@group(0) @binding(1) var<storage, read> rope: array<vec2f>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read_write> qkv: array<E>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;

var<workgroup> head_values: array<f32, HEAD_DIM>;
var<workgroup> squares: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn attention_input(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let row = group.y;
  let origin = row * QKV_STRIDE + head * HEAD_DIM;
  var square = 0.0;
  for (var i = thread; i < HEAD_DIM; i += THREADS) {
    let value = f32(qkv[origin + i]);
    head_values[i] = value;
    square += value * value;
  }
  squares[thread] = square;
  workgroupBarrier();
  let is_value = head >= HEADS + KV_HEADS;
  if (!is_value) {
    var sum = 0.0;
    for (var i = 0u; i < THREADS; i++) { sum += squares[i]; }
    let scale = inverseSqrt(sum / f32(HEAD_DIM) + EPSILON);
    let gain_at = select(0u, HEAD_DIM, head >= HEADS);
    // Half-split pairs, each turned by one thread.
    for (var i = thread; i < HEAD_DIM / 2u; i += THREADS) {
      let a = head_values[i] * scale * gains[gain_at + i];
      let b = head_values[i + HEAD_DIM / 2u] * scale * gains[gain_at + i + HEAD_DIM / 2u];
      var turn = vec2f(1.0, 0.0);
      if (HAS_ROPE) {
        let position = step[STEP_ROWS + row * 4u + 2u];
        let low = rope[position % ROPE_LOW * (HEAD_DIM / 2u) + i];
        let high = rope[(ROPE_LOW + position / ROPE_LOW) * (HEAD_DIM / 2u) + i];
        turn = vec2f(low.x * high.x - low.y * high.y, low.x * high.y + low.y * high.x);
      }
      head_values[i] = a * turn.x - b * turn.y;
      head_values[i + HEAD_DIM / 2u] = b * turn.x + a * turn.y;
    }
  }
  workgroupBarrier();
  if (head < HEADS) {
    for (var i = thread; i < HEAD_DIM; i += THREADS) { qkv[origin + i] = E(head_values[i]); }
    return;
  }
  let kv_head = (head - HEADS) % KV_HEADS;
  let at = step_kv_row(row) * (KV_HEADS * HEAD_DIM / CACHE_PER_WORD) + kv_head * (HEAD_DIM / CACHE_PER_WORD);
  for (var i = thread; i < HEAD_DIM / CACHE_PER_WORD; i += THREADS) {
    let word = cache_pack(head_values[i * CACHE_PER_WORD], head_values[i * CACHE_PER_WORD + CACHE_PER_WORD - 1u]);
    if (is_value) { values[at + i] = word; } else { keys[at + i] = word; }
  }
}

fn step_kv_row(row: u32) -> u32 {
  let at = STEP_ROWS + row * 4u;
  return kv_row(step[at + 1u], step[at + 2u]);
}
fn kv_row(slot: u32, position: u32) -> u32 {
  if (RING > 0u) { return slot * RING + position % max(RING, 1u); }
  return pages[slot * PAGES_PER_SLOT + position / PAGE_ROWS] * PAGE_ROWS + position % PAGE_ROWS;
}

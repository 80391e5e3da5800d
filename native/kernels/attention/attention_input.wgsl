// attention_input: normalises q and k per head (if HAS_QK_NORM), rotates them on layers with RoPE, and stores k and v.
// dispatch  HEADS + 2 * KV_HEADS, rows
// gains     [2, HEAD_DIM]: of q, then of k; not read without HAS_QK_NORM
// rope      [ROPE_LOW + ..., HEAD_DIM / 2] of (cosine, sine), made by rope_table() (model/rope.h): position p is
//           turned by row p % ROPE_LOW, then by row ROPE_LOW + p / ROPE_LOW
// step, pages   tell where rows go in the cache
// qkv       [rows, QKV_STRIDE] in; q is written back
// keys, values  the layer's cache [cache rows, KV_HEADS, HEAD_WORDS], out; elements past HEAD_DIM become zero
// matches   the second half of CpuDevice::attention_input, to 1e-6
//
// The prelude has cache_word(), the i-th word of a head in the cache's type: see Prelude::cache_word().
@group(0) @binding(0) var<storage, read> gains: array<f32>;
@group(0) @binding(1) var<storage, read> rope: array<vec2f>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read_write> qkv: array<E>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;

var<workgroup> head_values: array<f32, DIMS>;
var<workgroup> squares: array<f32, TEAM>;
var<workgroup> eighths: array<f32, 8>;

@compute @workgroup_size(TEAM)
fn attention_input(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let row = group.y;
  let slot = step[step_row(row) + ROW_SLOT];
  let position = step[step_row(row) + ROW_POSITION];
  let origin = row * QKV_STRIDE + head * HEAD_DIM;
  var square = 0.0;
  for (var i = thread; i < DIMS; i += TEAM) {
    var value = 0.0;
    if (i < HEAD_DIM) { value = f32(qkv[origin + i]); }
    head_values[i] = value;
    square += value * value;
  }
  squares[thread] = square;
  workgroupBarrier();
  if (thread < 8u) {
    var sum = 0.0;
    for (var i = 0u; i < TEAM / 8u; i++) { sum += squares[thread * (TEAM / 8u) + i]; }
    eighths[thread] = sum;
  }
  workgroupBarrier();
  let is_value = head >= HEADS + KV_HEADS;
  if (!is_value) {
    var sum = 0.0;
    for (var i = 0u; i < 8u; i++) { sum += eighths[i]; }
    let scale = inverseSqrt(sum / f32(HEAD_DIM) + EPSILON);
    let gain_at = select(0u, HEAD_DIM, head >= HEADS);
    // A pair is (i, i + HEAD_DIM / 2). One thread turns it.
    for (var i = thread; i < HEAD_DIM / 2u; i += TEAM) {
      var a = head_values[i];
      var b = head_values[i + HEAD_DIM / 2u];
      if (HAS_QK_NORM) {
        a = a * scale * gains[gain_at + i];
        b = b * scale * gains[gain_at + i + HEAD_DIM / 2u];
      }
      var turn = vec2f(1.0, 0.0);
      if (HAS_ROPE) {
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
    for (var i = thread; i < HEAD_DIM; i += TEAM) { qkv[origin + i] = E(head_values[i]); }
    return;
  }
  let at = (kv_row(slot, position) * KV_HEADS + (head - HEADS) % KV_HEADS) * HEAD_WORDS;
  for (var i = thread; i < HEAD_WORDS; i += TEAM) {
    let word = cache_word(i);
    if (is_value) { values[at + i] = word; } else { keys[at + i] = word; }
  }
}

// An element of the head that is being written. Zero past the head's end.
fn element(i: u32) -> f32 {
  if (i >= DIMS) { return 0.0; }
  return head_values[min(i, DIMS - 1u)];
}

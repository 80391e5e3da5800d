// attention: one query head of one row against one part of the keys it may see, with an online softmax.
// dispatch  HEADS, rows, parts
// qkv       [rows, QKV_STRIDE], its q part
// keys, values  the layer's cache
// step, pages   where rows are in the cache
// partial   [rows, HEADS, PARTS, HEAD_DIM + 2] out: the part's weighted sum, its maximum, its sum of weights
// matches   with attention_reduce, reference: CpuDevice::attention, to 1e-5. How keys are parted depends on the row's own
//           position alone, so a row's result does not depend on the other rows
@group(0) @binding(0) var<storage, read> qkv: array<E>;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<u32>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read> pages: array<u32>;
@group(0) @binding(5) var<storage, read_write> partial: array<f32>;

// One key a thread; the block's weights are shared, then each thread sums its dimensions of V.
var<workgroup> query: array<f32, HEAD_DIM>;
var<workgroup> scores: array<f32, THREADS>;
var<workgroup> rows_of_block: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn attention(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let row = group.y;
  let slot = step[STEP_ROWS + row * 4u + 1u];
  let position = step[STEP_ROWS + row * 4u + 2u];
  var first_key = 0u;
  if (WINDOW > 0u && position + 1u > WINDOW) { first_key = position + 1u - WINDOW; }
  let key_count = position + 1u - first_key;
  let blocks = (key_count + THREADS - 1u) / THREADS;
  let part_keys = max(MIN_PART_BLOCKS, (blocks + PARTS - 1u) / PARTS) * THREADS;
  let start = group.z * part_keys;
  if (start >= key_count) { return; }
  let end = min(start + part_keys, key_count);

  for (var i = thread; i < HEAD_DIM; i += THREADS) { query[i] = f32(qkv[row * QKV_STRIDE + head * HEAD_DIM + i]); }
  let kv_words = HEAD_DIM / CACHE_PER_WORD;
  let head_at = head / (HEADS / KV_HEADS) * kv_words;
  var output: array<f32, DIMS_PER_THREAD>;
  var maximum = LOWEST;
  var sum = 0.0;
  for (var block = start; block < end; block += THREADS) {
    workgroupBarrier();
    let is_key = block + thread < end;
    var score = LOWEST;
    if (is_key) {
      let cache_row = kv_row(slot, first_key + block + thread) * (KV_HEADS * kv_words) + head_at;
      rows_of_block[thread] = cache_row;
      var product = 0.0;
      for (var i = 0u; i < kv_words; i++) {
        let k = cache_unpack(keys[cache_row + i]);
        product += query[i * CACHE_PER_WORD] * k.x;
        if (CACHE_PER_WORD == 2u) { product += query[i * CACHE_PER_WORD + CACHE_PER_WORD - 1u] * k.y; }
      }
      score = product * SCORE_SCALE;
    }
    scores[thread] = score;
    workgroupBarrier();
    let count = min(THREADS, end - block);
    var block_maximum = maximum;
    for (var i = 0u; i < count; i++) { block_maximum = max(block_maximum, scores[i]); }
    let rescale = exp(maximum - block_maximum);
    maximum = block_maximum;
    workgroupBarrier();
    if (is_key) { scores[thread] = exp(score - block_maximum); }
    workgroupBarrier();
    sum *= rescale;
    for (var i = 0u; i < count; i++) { sum += scores[i]; }
    for (var d = 0u; d < DIMS_PER_THREAD; d++) {
      let dim = thread + d * THREADS;
      if (dim < HEAD_DIM) {
        var value = output[d] * rescale;
        for (var i = 0u; i < count; i++) {
          let v = cache_unpack(values[rows_of_block[i] + dim / CACHE_PER_WORD]);
          value += scores[i] * select(v.x, v.y, dim % CACHE_PER_WORD == 1u);
        }
        output[d] = value;
      }
    }
  }
  let to = ((row * HEADS + head) * PARTS + group.z) * (HEAD_DIM + 2u);
  for (var d = 0u; d < DIMS_PER_THREAD; d++) {
    let dim = thread + d * THREADS;
    if (dim < HEAD_DIM) { partial[to + dim] = output[d]; }
  }
  if (thread == 0u) {
    partial[to + HEAD_DIM] = maximum;
    partial[to + HEAD_DIM + 1u] = sum;
  }
}

fn kv_row(slot: u32, position: u32) -> u32 {
  if (RING > 0u) { return slot * RING + position % max(RING, 1u); }
  return pages[slot * PAGES_PER_SLOT + position / PAGE_ROWS] * PAGE_ROWS + position % PAGE_ROWS;
}

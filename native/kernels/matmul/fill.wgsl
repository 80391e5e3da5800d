// fill: writes made-up weights in the layout of their type, for measuring speed.
// dispatch  as many workgroups of 256 as there are words of 16 bytes, spread over x and y
// matrices  [MATRICES]: for each, the number of rows before it, its seed, and its first word in `weight`
// weight    words of 16 bytes, out: [rows, ROW_WORDS] for each matrix
// matches   make_synthetic_row() (model/synthetic.h): to the bit for types without blocks, else in the scales only
@group(0) @binding(0) var<storage, read> matrices: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> weight: array<vec4<u32>>;

fn random_word(seed: u32, row: u32, i: u32) -> u32 {
  var bits = seed + row * 0x9e3779b9u + i * 0x85ebca6bu;
  bits = (bits ^ (bits >> 16u)) * 0x7feb352du;
  bits = (bits ^ (bits >> 15u)) * 0x846ca68bu;
  return bits ^ (bits >> 16u);
}

// The i-th word (32 bits) of a row.
fn word_of(seed: u32, row: u32, i: u32) -> u32 {
  let bits = (random_word(seed, row, i) & KEPT) | GIVEN;
  if (BLOCK_WORDS == 0u) {
    // Elements past the row's last are zero. The last word may hold one element and a zero.
    if (i >= (COLUMNS + ELEMENTS - 1u) / ELEMENTS) { return 0u; }
    return select(bits, bits & 0xffffu, ELEMENTS == 2u && i * 2u + 1u == COLUMNS);
  }
  let words = BLOCKS * max(BLOCK_WORDS, 1u);
  if (i < words) {
    let heads = BLOCKS * HEAD_AT;
    let is_head = TAIL_BYTES == 0u && i >= heads && (i - heads) % max(BLOCK_WORDS - HEAD_AT, 1u) == 0u;
    return select(bits, (bits & HEAD_KEPT) | HEAD, is_head);
  }
  // The tails of the blocks are side by side. The last word may be filled only in part. A tail of 8 bytes is two words.
  let left = i32(BLOCKS * TAIL_BYTES) - i32((i - words) * 4u);
  if (left <= 0) { return 0u; }
  let tail = select(TAIL, TAIL_END, (i - words) % 2u == 1u);
  return select(tail, tail & ((1u << (u32(left) * 8u % 32u)) - 1u), left < 4);
}

@compute @workgroup_size(256)
fn fill(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let at = (group.y * groups.x + group.x) * 256u + thread;
  if (at >= WORDS) { return; }
  let any_row = at / ROW_WORDS;
  var first = 0u;
  var past = MATRICES;
  while (past - first > 1u) {
    let middle = (first + past) / 2u;
    if (matrices[middle].x <= any_row) { first = middle; } else { past = middle; }
  }
  let row = any_row - matrices[first].x;
  let word = at % ROW_WORDS;
  let i = word * 4u;
  let seed = matrices[first].y;
  weight[matrices[first].z + row * ROW_WORDS + word] = vec4u(word_of(seed, row, i), word_of(seed, row, i + 1u),
                                                             word_of(seed, row, i + 2u), word_of(seed, row, i + 3u));
}

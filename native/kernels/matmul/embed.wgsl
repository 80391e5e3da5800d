// embed: residual = E[token].
// dispatch  ceil(COLUMN_CHUNKS / 64), rows
// weight    [VOCAB, COLUMN_CHUNKS] chunks
// step      step state; a token past the vocabulary is read as its last one
// y         [rows, Y_STRIDE] out
// matches   CpuDevice::embed, to the bit
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn embed(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= COLUMN_CHUNKS) { return; }
  let token = min(step[step_row(id.y) + TOKEN_FIELD], VOCAB - 1u);
  let to = id.y * (Y_STRIDE / 4u) + id.x * 2u;
  y[to] = low(weight_word(token * ROW_WORDS, id.x, 0u));
  y[to + 1u] = high(weight_word(token * ROW_WORDS, id.x, CHUNK_WORDS - 1u));
}

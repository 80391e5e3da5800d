// next_draft: moves the hidden state of the row that each drafting group chose from last to the group's row in the next
// MTP step. choose has made that step's rows.
// dispatch   ceil(STRIDE / MOVE_THREADS)
// step       step state: the number of groups that draft, and their rows
// hidden     [rows, STRIDE] in and out
//
// A thread moves one column, group by group. Groups lie in the order of their rows, and a row never moves to a later
// place. So no row is overwritten before it is read.
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read_write> hidden: array<f32>;

@compute @workgroup_size(MOVE_THREADS)
fn next_draft(@builtin(global_invocation_id) thread: vec3u) {
  if (thread.x >= STRIDE) { return; }
  for (var group = 0u; group < step[STEP_LOGIT_COUNT]; group++) {
    hidden[group * STRIDE + thread.x] = hidden[step[STEP_DRAFT_ROWS + group] * STRIDE + thread.x];
  }
}

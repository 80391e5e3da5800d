// next_draft: turns the MTP block's step into a step of one row. Its position is one after the row of the last draft,
// its next token is that draft, and its hidden state is that row's.
// dispatch   1
// sequences  [slots, SEQUENCE_WORDS]
// step       step state, in and out
// hidden     [rows, STRIDE] in and out; row 0 is written
@group(0) @binding(0) var<storage, read> sequences: array<u32>;
@group(0) @binding(1) var<storage, read_write> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> hidden: array<f32>;

var<workgroup> shared_row: u32;

@compute @workgroup_size(64)
fn next_draft(@builtin(local_invocation_index) thread: u32) {
  if (thread == 0u) { shared_row = step[STEP_LOGIT_ROWS]; }
  let row = workgroupUniformLoad(&shared_row);
  if (row > 0u) {
    for (var i = thread; i < STRIDE; i += 64u) { hidden[i] = hidden[row * STRIDE + i]; }
  }
  if (thread == 0u) {
    let slot = step[step_row(0u) + ROW_SLOT];
    let state = slot * SEQUENCE_WORDS;
    let draft = sequences[state + SEQUENCE_DRAFT_TOKENS + sequences[state + SEQUENCE_DRAFTS] - 1u];
    step[step_row(0u) + ROW_TOKEN] = draft;
    step[step_row(0u) + ROW_POSITION] = step[step_row(row) + ROW_POSITION] + 1u;
    step[step_row(0u) + ROW_NEXT] = draft;
    step[STEP_ROW_COUNT] = 1u;
    step[STEP_LOGIT_COUNT] = 1u;
    step[STEP_LOGIT_ROWS] = 0u;
  }
}

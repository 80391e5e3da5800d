// follow: the rows of a step that goes on where the step before it ended: the token chosen last, then its drafts.
// dispatch   1
// sequences  [slots, SEQUENCE_WORDS]
// step       step state: the counts and row 0's slot are given, the rows are out; every row is a logit row
@group(0) @binding(0) var<storage, read> sequences: array<u32>;
@group(0) @binding(1) var<storage, read_write> step: array<u32>;

@compute @workgroup_size(1)
fn follow() {
  let slot = step[STEP_ROWS + 1u];
  let state = slot * SEQUENCE_WORDS;
  let last = sequences[state + SEQUENCE_CHOSEN] - 1u;
  for (var row = 0u; row < step[STEP_ROW_COUNT]; row++) {
    let at = STEP_ROWS + row * 4u;
    if (row == 0u) {
      step[at] = sequences[state + SEQUENCE_TOKENS + last];
    } else {
      step[at] = sequences[state + SEQUENCE_DRAFT_TOKENS + row - 1u];
    }
    step[at + 1u] = slot;
    step[at + 2u] = sequences[state + SEQUENCE_LENGTH] - 1u + row;
    // Until it is known what was right: the MTP block computes something for rows that are dropped, too.
    step[at + 3u] = 0u;
    step[STEP_LOGIT_ROWS + row] = row;
  }
}

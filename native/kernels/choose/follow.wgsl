// follow: writes the rows of a step that continues the step before it: the token chosen last, then its drafts.
// dispatch   1
// sequences  [slots, SEQUENCE_WORDS]
// step       step state: counts and row 0's slot in, the rows out; every row becomes a logit row
@group(0) @binding(0) var<storage, read> sequences: array<u32>;
@group(0) @binding(1) var<storage, read_write> step: array<u32>;

@compute @workgroup_size(1)
fn follow() {
  let slot = step[step_row(0u) + ROW_SLOT];
  let state = slot * SEQUENCE_WORDS;
  let last = sequences[state + SEQUENCE_CHOSEN] - 1u;
  for (var row = 0u; row < step[STEP_ROW_COUNT]; row++) {
    let at = step_row(row);
    if (row == 0u) {
      step[at + ROW_TOKEN] = sequences[state + SEQUENCE_TOKENS + last];
    } else {
      step[at + ROW_TOKEN] = sequences[state + SEQUENCE_DRAFT_TOKENS + row - 1u];
    }
    step[at + ROW_SLOT] = slot;
    step[at + ROW_POSITION] = sequences[state + SEQUENCE_LENGTH] - 1u + row;
    // Replaced once the choice is known. The MTP block computes rows that are dropped too, so they need some valid
    // token.
    step[at + ROW_NEXT] = 0u;
    step[STEP_LOGIT_ROWS + row] = row;
  }
}

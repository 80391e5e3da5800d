// follow: writes the rows of each group that continues its slot's last choice: the token chosen last, then its drafts.
// dispatch   ceil(groups / FOLLOW_THREADS)
// sequences  [slots, SEQUENCE_WORDS]
// step       step state: groups in, the rows of following groups out
@group(0) @binding(0) var<storage, read> sequences: array<u32>;
@group(0) @binding(1) var<storage, read_write> step: array<u32>;

@compute @workgroup_size(FOLLOW_THREADS)
fn follow(@builtin(global_invocation_id) thread: vec3u) {
  let group = step_group(thread.x);
  if (thread.x >= step[STEP_GROUP_COUNT] || step[group + GROUP_IS_FOLLOWING] == 0u) { return; }
  let slot = step[group + GROUP_SLOT];
  let state = slot * SEQUENCE_WORDS;
  let last = sequences[state + SEQUENCE_CHOSEN] - 1u;
  for (var row = 0u; row < step[group + GROUP_ROWS]; row++) {
    let at = step_row(step[group + GROUP_FIRST_ROW] + row);
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
  }
}

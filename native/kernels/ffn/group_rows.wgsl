// group_rows: sorts a step's choices of experts by expert, then by row, and cuts them into tiles.
// A choice is row * TOP_K + its place among the row's choices. An expert's tiles begin at (choices of lower experts) /
// TILE_ROWS + its id. So all tiles have room, and no workgroup needs the number of another expert's tiles.
// dispatch  EXPERTS
// step      step state: the number of rows
// experts   [rows, TOP_K] ids, or slots if experts have them; larger numbers for choices that are left out
// choices   [rows * TOP_K] out
// tiles     [rows * TOP_K / TILE_ROWS + EXPERTS] out: expert, first of `choices`, count; count 0 for an unused tile
// matches   a stable sort
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> experts: array<u32>;
@group(0) @binding(2) var<storage, read_write> choices: array<u32>;
@group(0) @binding(3) var<storage, read_write> tiles: array<vec4u>;

// For each thread's share of the choices: how many are of lower experts, and how many of this one.
var<workgroup> lower: array<u32, THREADS>;
var<workgroup> own: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn group_rows(at: Invocation) {
  let expert = at.group.x;
  let count = step[STEP_ROW_COUNT] * TOP_K;
  let share = (count + THREADS - 1u) / THREADS;
  let begin = min(at.thread * share, count);
  let end = min(begin + share, count);
  var lower_count = 0u;
  var own_count = 0u;
  for (var choice = begin; choice < end; choice++) {
    let id = experts[choice];
    lower_count += select(0u, 1u, id < expert);
    own_count += select(0u, 1u, id == expert);
  }
  lower[at.thread] = lower_count;
  own[at.thread] = own_count;
  workgroupBarrier();
  var first = 0u;
  var total = 0u;
  var to = 0u;
  for (var i = 0u; i < THREADS; i++) {
    first += lower[i];
    total += own[i];
    to += select(0u, own[i], i < at.thread);
  }
  to += first;
  for (var choice = begin; choice < end; choice++) {
    if (experts[choice] == expert) {
      choices[to] = choice;
      to++;
    }
  }
  let first_tile = first / TILE_ROWS + expert;
  var end_tile = (first + total) / TILE_ROWS + expert + 1u;
  // The last expert also clears the remaining tiles, which exist if choices are left out and may be an earlier wave's.
  if (expert == EXPERTS - 1u) { end_tile = count / TILE_ROWS + EXPERTS; }
  for (var tile = first_tile + at.thread; tile < end_tile; tile += THREADS) {
    let done = (tile - first_tile) * TILE_ROWS;
    tiles[tile] = vec4u(expert, first + done, min(TILE_ROWS, max(total, done) - done), 0u);
  }
}

// attention: online softmax of a step's rows over the keys that they may see, or over one part of these keys.
// dispatch  KV_HEADS * HEAD_GROUPS, ceil(rows / (TEAMS / HEAD_TEAMS * ROWS)), parts
// qkv       [rows, QKV_STRIDE]; only q is read
// keys, values  the layer's cache [cache rows, KV_HEADS, HEAD_WORDS]; keys_chunk(), values_chunk() read eight elements
// step, pages   tell where rows lie in the cache
// out       with IS_DIRECT: attended [rows, ATTENDED_STRIDE] E; else
//           [rows, HEADS, PARTS, DIMS / 4 + 1] vec4f: a part's weighted sum, then (maximum, sum of weights, -, -)
// matches   CpuDevice::attention to 1e-5; unless IS_DIRECT, together with attention_reduce
//
// A team is 64 threads. It computes four query heads of one KV head for ROWS successive rows, and walks their keys in
// blocks of 64. For a block, each thread first sums scores; then it sums eight dimensions of V over every fourth key. A
// key or value is loaded once for all heads and rows of the team. The teams of a workgroup walk in step, so that the
// nearest cache serves all of them.
//
// How a row's keys are divided into parts: blocks are counted from the first key that the row sees, and part p has the
// blocks [p * n, p * n + n), where n = ceil(blocks of the row / PARTS). Both depend on the row's position alone.
//
// Why a row's bits do not depend on other rows:
// - With ROWS = 1 a team touches only keys that its row sees, in the same order of operations whatever other teams do.
// - With ROWS > 1 the rows of a team share blocks, which begin at multiples of 64. Rows of different slots take turns.
//   A block of which a row sees nothing leaves the row's sums unchanged. So neither the other row nor the way a prompt
//   is cut into steps matters.
@group(0) @binding(0) var<storage, read> qkv: array<E>;
@group(0) @binding(1) var<storage, read> keys: array<CacheWord>;
@group(0) @binding(2) var<storage, read> values: array<CacheWord>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read> pages: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<Out>;

const QUADS = TEAM / 4u;
const QUAD_CHUNKS = (CHUNKS + QUADS - 1u) / QUADS;  // chunks of V that a quad sums
const LANE_KEYS = TEAM / KEY_LANES;  // keys of a block whose scores are summed at once

// Indexed by head: a vec4f has one number for each of the team's four heads.
var<workgroup> queries: array<vec4f, TEAMS * ROWS * DIMS>;
var<workgroup> weights: array<vec4f, TEAMS * ROWS * TEAM>;
var<workgroup> heads_of_block: array<u32, TEAMS * TEAM>;  // for each key, where its head begins

struct Keys {
  slot: u32,
  start: u32,
  end: u32,  // one past the last
}

@compute @workgroup_size(TEAMS * TEAM)
fn attention(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first_row = group.y * (TEAMS / HEAD_TEAMS * ROWS);
  if (ROWS == 1u && most_blocks(first_row, 0u, group.z) == 0u) { return; }
  let lanes = lane_count();
  let team = thread / TEAM;
  let member = thread % TEAM;
  let lane = member % 4u;
  let quad = member / 4u;
  let kv_head = group.x / HEAD_GROUPS;
  let group_heads = HEADS / KV_HEADS;
  let team_head = (group.x % HEAD_GROUPS * HEAD_TEAMS + team % HEAD_TEAMS) * 4u;
  let team_row = first_row + team / HEAD_TEAMS * ROWS;
  let rows = step[STEP_ROW_COUNT];

  for (var i = member; i < ROWS * DIMS; i += TEAM) {
    let dim = i % DIMS;
    var query = vec4f();
    if (dim < HEAD_DIM) {
      for (var h = 0u; h < 4u; h++) {
        // A thread past the last head or row computes the last one again, and stores nothing.
        let head = kv_head * group_heads + min(team_head + h, group_heads - 1u);
        query[h] = f32(qkv[min(team_row + i / DIMS, rows - 1u) * QKV_STRIDE + head * HEAD_DIM + dim]) * SCORE_SCALE;
      }
    }
    queries[team * (ROWS * DIMS) + i] = query;
  }

  var own: array<Keys, ROWS>;
  var turn_of: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    own[r] = keys_of(team_row + r, group.z);
    if (r > 0u) { turn_of[r] = turn_of[max(r, 1u) - 1u] + u32(own[r].slot != own[max(r, 1u) - 1u].slot); }
  }
  var maximum: array<vec4f, ROWS>;
  var sum: array<vec4f, ROWS>;
  // For each chunk: the low half for each of four heads, then the high half for each of four heads.
  var output: array<vec4f, ROWS * QUAD_CHUNKS * 8u>;
  for (var r = 0u; r < ROWS; r++) { maximum[r] = vec4f(LOWEST); }

  for (var turn = 0u; turn < ROWS; turn++) {
    let blocks = most_blocks(first_row, turn, group.z);
    var shared_keys = keys_of_turn(team_row, turn, group.z);
    // A team without rows in this turn uses the keys of its first turn. They are finite, and weigh nothing.
    if (ROWS > 1u && shared_keys.end <= shared_keys.start) { shared_keys = keys_of_turn(team_row, 0u, group.z); }
    for (var block = 0u; block < blocks; block++) {
      let start = first_of_blocks(shared_keys) + block * TEAM;
      let count = select(0u, min(TEAM, shared_keys.end - start), start < shared_keys.end);
      workgroupBarrier();
      // A key that no row sees may never have been written. A written key replaces it, which is finite and weighs
      // nothing.
      let cache_row = kv_row(shared_keys.slot, clamp(start + member, shared_keys.start, shared_keys.end - 1u));
      heads_of_block[thread] = (cache_row * KV_HEADS + kv_head) * HEAD_WORDS;
      workgroupBarrier();

      // Set to zero explicitly: Dawn may let a variable of a loop's body keep its value from the last round.
      var partial_scores = array<array<vec4f, KEY_LANES>, ROWS>();
      for (var chunk = member % KEY_LANES; chunk < select(0u, CHUNKS, count > 0u); chunk += KEY_LANES) {
        var k: array<vec4f, KEY_LANES * 2u>;
        for (var i = 0u; i < KEY_LANES; i++) {
          let found = keys_chunk(heads_of_block[team * TEAM + i * LANE_KEYS + member / KEY_LANES], chunk);
          k[i * 2u] = found[0];
          k[i * 2u + 1u] = found[1];
        }
        for (var r = 0u; r < ROWS; r++) {
          for (var half = 0u; half < 2u; half++) {
            let at = (team * ROWS + r) * DIMS + chunk * 8u + half * 4u;
            let q0 = queries[at];
            let q1 = queries[at + 1u];
            let q2 = queries[at + 2u];
            let q3 = queries[at + 3u];
            for (var i = 0u; i < KEY_LANES; i++) {
              let values_of_key = k[i * 2u + half];
              var score = partial_scores[r][i];
              score = multiply_add4(vec4f(values_of_key.x), q0, score);
              score = multiply_add4(vec4f(values_of_key.y), q1, score);
              score = multiply_add4(vec4f(values_of_key.z), q2, score);
              score = multiply_add4(vec4f(values_of_key.w), q3, score);
              partial_scores[r][i] = score;
            }
          }
        }
      }
      let own_key = member % KEY_LANES * LANE_KEYS + member / KEY_LANES;
      var rescale: array<vec4f, ROWS>;
      for (var r = 0u; r < ROWS; r++) {
        let key = start + own_key;
        let is_visible = turn_of[r] == turn && key >= own[r].start && key < own[r].end;
        let score = select(vec4f(LOWEST), sum_of_own_key(thread, partial_scores[r]), is_visible);
        let highest = max(maximum[r], team_max(thread, lanes, r, score));
        rescale[r] = exp(maximum[r] - highest);
        maximum[r] = highest;
        weights[(team * ROWS + r) * TEAM + own_key] = select(vec4f(), exp(score - highest), is_visible);
      }
      workgroupBarrier();

      for (var r = 0u; r < ROWS; r++) {
        sum[r] *= rescale[r];
        for (var i = 0u; i < QUAD_CHUNKS * 8u; i++) { output[r * (QUAD_CHUNKS * 8u) + i] *= rescale[r][i % 4u]; }
      }
      for (var key = lane; key < count; key += 4u) {
        let key_head = heads_of_block[team * TEAM + key];
        for (var i = 0u; i < QUAD_CHUNKS; i++) {
          // A quad past the last chunk sums the last chunk again, and stores nothing.
          let v = values_chunk(key_head, min(quad + i * QUADS, CHUNKS - 1u));
          for (var r = 0u; r < ROWS; r++) {
            let weight = weights[(team * ROWS + r) * TEAM + key];
            if (i == 0u) { sum[r] += weight; }
            let to = (r * QUAD_CHUNKS + i) * 8u;
            for (var h = 0u; h < 4u; h++) {
              output[to + h] = multiply_add4(vec4f(weight[h]), v[0], output[to + h]);
              output[to + 4u + h] = multiply_add4(vec4f(weight[h]), v[1], output[to + 4u + h]);
            }
          }
        }
      }
    }
  }

  // Each lane of a quad has summed every fourth key. From here on, each lane finishes one head.
  let head = kv_head * group_heads + team_head + lane;
  for (var r = 0u; r < ROWS; r++) {
    let row = team_row + r;
    let is_stored = row < rows && team_head + lane < group_heads && own[r].start < own[r].end;
    let part = ((row * HEADS + head) * PARTS + group.z) * (DIMS / 4u + 1u);
    let weight_sum =
        sum_of_own_head(thread, array(vec4f(sum[r].x), vec4f(sum[r].y), vec4f(sum[r].z), vec4f(sum[r].w))).x;
    if (!IS_DIRECT && is_stored && quad == 0u) {
      out[part + DIMS / 4u] = Out(vec4f(maximum[r][lane], weight_sum, 0.0, 0.0));
    }
    for (var i = 0u; i < QUAD_CHUNKS; i++) {
      let sums_at = (r * QUAD_CHUNKS + i) * 8u;
      var low = sum_of_own_head(thread, array(output[sums_at], output[sums_at + 1u], output[sums_at + 2u], output[sums_at + 3u]));
      var high =
          sum_of_own_head(thread, array(output[sums_at + 4u], output[sums_at + 5u], output[sums_at + 6u], output[sums_at + 7u]));
      let chunk = quad + i * QUADS;
      if (is_stored && chunk < CHUNKS) {
        if (IS_DIRECT) {
          let at = (row * ATTENDED_STRIDE + head * HEAD_DIM) / 4u + chunk * 2u;
          out[at] = Out(low / weight_sum);
          if (chunk * 8u + 4u < HEAD_DIM) { out[at + 1u] = Out(high / weight_sum); }
        } else {
          out[part + chunk * 2u] = Out(low);
          out[part + chunk * 2u + 1u] = Out(high);
        }
      }
    }
  }
}

// The keys of a part that a row sees. There are none if end <= start.
fn keys_of(row: u32, part: u32) -> Keys {
  let at = step_row(min(row, step[STEP_ROW_COUNT] - 1u));
  let position = step[at + ROW_POSITION];
  var first = 0u;
  if (WINDOW > 0u && position >= WINDOW) { first = position + 1u - WINDOW; }
  let blocks = (position + 1u - first + TEAM - 1u) / TEAM;
  let part_keys = (blocks + PARTS - 1u) / PARTS * TEAM;
  let start = first + part * part_keys;
  return Keys(step[at + ROW_SLOT], start, min(start + part_keys, position + 1u));
}

// The keys that a team's rows see in the slot whose turn it is.
fn keys_of_turn(team_row: u32, turn: u32, part: u32) -> Keys {
  var all = keys_of(team_row, part);
  var row_turn = 0u;
  var slot = all.slot;
  if (turn > 0u) { all = Keys(slot, 0xffffffffu, 0u); }
  for (var r = 1u; r < ROWS; r++) {
    let of_row = keys_of(team_row + r, part);
    row_turn += u32(of_row.slot != slot);
    slot = of_row.slot;
    if (row_turn == turn) { all = Keys(slot, min(all.start, of_row.start), max(all.end, of_row.end)); }
  }
  return all;
}

// The position at which a team's first block begins.
fn first_of_blocks(shared_keys: Keys) -> u32 {
  return select(shared_keys.start, shared_keys.start / TEAM * TEAM, ROWS > 1u);
}

// The most blocks that a team of the workgroup has in a turn. All teams go through as many, because they share
// barriers.
fn most_blocks(first_row: u32, turn: u32, part: u32) -> u32 {
  var most = 0u;
  for (var i = 0u; i < TEAMS / HEAD_TEAMS; i++) {
    let found = keys_of_turn(first_row + i * ROWS, turn, part);
    if (found.end > found.start) { most = max(most, (found.end - first_of_blocks(found) + TEAM - 1u) / TEAM); }
  }
  return most;
}

// tile_product: the product of a tile of rows and a tile of weight rows, TILE_ROWS x 64, in registers. Text for the
// kernels whose names end in _tiled, which have 128 threads. Such a kernel binds `x` (rows of X4) and declares:
//   TILE_ROWS       32 or 64
//   COLUMN_CHUNKS, CHUNK_WORDS, X_STRIDE
//   X_VECTORS       vectors in a row of x; they begin at X_OFFSET and are X_VECTOR_STRIDE apart
//   fn weight_at(column) -> u32     where the weight row of this column begins (16-byte words); always a valid row
//   fn load_weight(place, at, chunk, i) -> vec4u   weight_word() of the row at `at`; `place` is the column modulo 4
//   fn weight_low(place, word), weight_high(place, word) -> vec4f   the halves of a chunk, from its first and last word
//   fn x_vector(row) -> u32         the vector of x in this row of the tile; always a valid vector
//   fn row_count() -> u32           rows of the tile that exist; threads that own none of them only stage
//   fn store(row, column, vec4f)    takes the sums of four columns; must ignore places past an edge
// Operands in workgroup memory are f32 whatever E is, so bf16 weights lose nothing and no value is too large.
const TILE_THREADS = 128u;
const TILE_COLUMNS = 64u;
const TILE_CHUNKS = 4u;
const TILE_K = TILE_CHUNKS * 8u;
const THREAD_ROWS = TILE_ROWS / 8u;
const W_GROUPS = TILE_COLUMNS / 4u;
const X_GROUPS = TILE_ROWS / 4u;
// [TILE_K, columns or rows], with four columns or rows in a vector, so that a thread's operands lie side by side.
var<workgroup> w_tile: array<vec4f, TILE_K * W_GROUPS>;
var<workgroup> x_tile: array<vec4f, TILE_K * X_GROUPS>;

// A task of staging: a chunk of four weight rows (the first 64 threads), or a chunk of four rows of x.
struct StagingTask {
  is_weight: bool,
  is_x: bool,
  group: u32,
  chunk: u32,
  origins: array<u32, 4>,
}

fn fetch(task: ptr<function, StagingTask>, first_chunk: u32, words: ptr<function, array<vec4u, 8>>) {
  let chunk = first_chunk + (*task).chunk;
  if (chunk >= COLUMN_CHUNKS) {
    for (var i = 0u; i < 8u; i++) { (*words)[i] = vec4u(0u); }
    return;
  }
  if ((*task).is_weight) {
    for (var i = 0u; i < 4u; i++) {
      let origin = (*task).origins[i];
      (*words)[i * 2u] = load_weight(i, origin, chunk, 0u);
      if (CHUNK_WORDS == 2u) { (*words)[i * 2u + 1u] = load_weight(i, origin, chunk, 1u); }
    }
  } else if ((*task).is_x) {
    for (var i = 0u; i < 4u; i++) {
      let origin = (*task).origins[i] + chunk * 2u;
      (*words)[i * 2u] = bitcast<vec4u>(vec4f(x[origin]));
      (*words)[i * 2u + 1u] = bitcast<vec4u>(vec4f(x[origin + 1u]));
    }
  }
}

fn low_of(task: ptr<function, StagingTask>, words: ptr<function, array<vec4u, 8>>, i: u32) -> vec4f {
  if ((*task).is_weight) { return weight_low(i, (*words)[i * 2u]); }
  return bitcast<vec4f>((*words)[i * 2u]);
}

fn high_of(task: ptr<function, StagingTask>, words: ptr<function, array<vec4u, 8>>, i: u32) -> vec4f {
  if ((*task).is_weight) { return weight_high(i, (*words)[i * 2u + CHUNK_WORDS - 1u]); }
  return bitcast<vec4f>((*words)[i * 2u + 1u]);
}

// Writes four successive columns or rows at each of the places k to k + 3.
fn put(task: ptr<function, StagingTask>, k: u32, a: vec4f, b: vec4f, c: vec4f, d: vec4f) {
  let row = (*task).chunk * 8u + k;
  if ((*task).is_weight) {
    let to = row * W_GROUPS + (*task).group;
    w_tile[to] = vec4f(a.x, b.x, c.x, d.x);
    w_tile[to + W_GROUPS] = vec4f(a.y, b.y, c.y, d.y);
    w_tile[to + 2u * W_GROUPS] = vec4f(a.z, b.z, c.z, d.z);
    w_tile[to + 3u * W_GROUPS] = vec4f(a.w, b.w, c.w, d.w);
  } else if ((*task).is_x) {
    let to = row * X_GROUPS + (*task).group;
    x_tile[to] = vec4f(a.x, b.x, c.x, d.x);
    x_tile[to + X_GROUPS] = vec4f(a.y, b.y, c.y, d.y);
    x_tile[to + 2u * X_GROUPS] = vec4f(a.z, b.z, c.z, d.z);
    x_tile[to + 3u * X_GROUPS] = vec4f(a.w, b.w, c.w, d.w);
  }
}

fn stage(task: ptr<function, StagingTask>, words: ptr<function, array<vec4u, 8>>) {
  put(task, 0u, low_of(task, words, 0u), low_of(task, words, 1u), low_of(task, words, 2u), low_of(task, words, 3u));
  put(task, 4u, high_of(task, words, 0u), high_of(task, words, 1u), high_of(task, words, 2u), high_of(task, words, 3u));
}

fn tile_product(thread: u32) {
  var task: StagingTask;
  const W_TASKS = W_GROUPS * TILE_CHUNKS;
  task.is_weight = thread < W_TASKS;
  task.is_x = !task.is_weight && thread < W_TASKS + X_GROUPS * TILE_CHUNKS;
  if (task.is_weight) {
    task.group = thread % W_GROUPS;
    task.chunk = thread / W_GROUPS;
    for (var i = 0u; i < 4u; i++) { task.origins[i] = weight_at(task.group * 4u + i); }
  } else if (task.is_x) {
    task.group = (thread - W_TASKS) % X_GROUPS;
    task.chunk = (thread - W_TASKS) / X_GROUPS;
    for (var i = 0u; i < 4u; i++) {
      let vector = x_vector(task.group * 4u + i);
      task.origins[i] = (vector / X_VECTORS * X_STRIDE + vector % X_VECTORS * X_VECTOR_STRIDE + X_OFFSET) / 4u;
    }
  }
  let own_group = thread % W_GROUPS;
  let own_rows = thread / W_GROUPS * THREAD_ROWS;
  let has_rows = own_rows < row_count();
  // Every index is a constant, so that compilers which unroll no loops keep the sums in registers too. With THREAD_ROWS 4
  // the last four are unused.
  var sums: array<vec4f, 8>;
  var words: array<vec4u, 8>;
  fetch(&task, 0u, &words);
  for (var chunk = 0u; chunk < COLUMN_CHUNKS; chunk += TILE_CHUNKS) {
    workgroupBarrier();
    stage(&task, &words);
    workgroupBarrier();
    // The next tile loads while this one is multiplied.
    fetch(&task, chunk + TILE_CHUNKS, &words);
    if (has_rows) {
      for (var k = 0u; k < TILE_K; k++) {
        let w = w_tile[k * W_GROUPS + own_group];
        let a = x_tile[k * X_GROUPS + own_rows / 4u];
        sums[0] = multiply_add4(vec4f(a.x), w, sums[0]);
        sums[1] = multiply_add4(vec4f(a.y), w, sums[1]);
        sums[2] = multiply_add4(vec4f(a.z), w, sums[2]);
        sums[3] = multiply_add4(vec4f(a.w), w, sums[3]);
        if (THREAD_ROWS == 8u) {
          let b = x_tile[k * X_GROUPS + own_rows / 4u + 1u];
          sums[4] = multiply_add4(vec4f(b.x), w, sums[4]);
          sums[5] = multiply_add4(vec4f(b.y), w, sums[5]);
          sums[6] = multiply_add4(vec4f(b.z), w, sums[6]);
          sums[7] = multiply_add4(vec4f(b.w), w, sums[7]);
        }
      }
    }
  }
  for (var i = 0u; i < THREAD_ROWS; i++) { store(own_rows + i, own_group * 4u, sums[i]); }
}

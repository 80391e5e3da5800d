// multiply_matrices: y = W x or y += W x by subgroup matrices (tensor cores). Replaces multiply_tiled.
// dispatch  ceil(rows / TILE_ROWS), ceil(OUTPUTS / TILE_COLUMNS); THREADS is a multiple of the largest subgroup size,
//           and at least four subgroups: the first four multiply a quarter of the tile each
// weight    [OUTPUTS, COLUMN_CHUNKS] chunks; no magnitude may be above 65504, f16's largest
// x         [rows, X_STRIDE]
// x_scales  [rows], read with HAS_SCALES: powers of two that bring the rows of x into f16's range
// step      step state: the number of rows; with IS_GATHERED, which rows of x
// y         [rows, Y_STRIDE], written from Y_OFFSET on; with ADDS also read
// matches   the CPU's multiply to about 1e-3, with x and W rounded to f16 (11 bits, fewer below 2^-14) and sums in f32
//           Never run on hardware.
@group(0) @binding(0) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<X4>;
@group(0) @binding(2) var<storage, read> x_scales: array<f32>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<Y>;

alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
alias Right = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias Result = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;

// A subgroup computes two by two result matrices, and a workgroup has two by two such subgroups.
const MULTIPLIERS = 4u;
const TILE_ROWS = 4u * MATRIX_M;
const TILE_COLUMNS = 4u * MATRIX_N;
const TILE_CHUNKS = 4u;
const TILE_K = TILE_CHUNKS * 8u;
// Matrices need rows at multiples of 16 bytes. A stride of 20 words puts eight successive rows into different banks.
const TILE_STRIDE = TILE_K + 8u;
// A thread stages the same chunk of a K tile for several rows. If there are more threads than rows, some stage nothing.
const THREAD_ROWS = THREADS / TILE_CHUNKS;
const W_TASKS = (TILE_COLUMNS + THREAD_ROWS - 1u) / THREAD_ROWS;
const X_TASKS = (TILE_ROWS + THREAD_ROWS - 1u) / THREAD_ROWS;
const RESULT_SIZE = MATRIX_M * MATRIX_N;

var<workgroup> w_tile: array<f16, TILE_COLUMNS * TILE_STRIDE>;  // [outputs, k]
var<workgroup> x_tile: array<f16, TILE_ROWS * TILE_STRIDE>;     // [rows, k]
var<workgroup> results: array<f32, MULTIPLIERS * RESULT_SIZE>;  // one matrix of each subgroup at a time

struct Place {
  thread: u32,
  first_row: u32,
  first_output: u32,
  rows: u32,
}

// The data that a thread carries to the tiles, and the places it comes from.
struct Staging {
  w_at: array<u32, W_TASKS>,
  x_at: array<u32, X_TASKS>,
  scales: array<f32, X_TASKS>,
  w: array<vec4u, W_TASKS * CHUNK_WORDS>,
  x: array<vec4f, X_TASKS * 2u>,
}

// A place past the last row or output reads the last one again, and stores nothing.
fn begin(at: Place, staging: ptr<function, Staging>) {
  let tile_row = at.thread / TILE_CHUNKS;
  for (var i = 0u; i < W_TASKS; i++) {
    let output = min(at.first_output + tile_row + i * THREAD_ROWS, OUTPUTS - 1u);
    (*staging).w_at[i] = output * ROW_WORDS;
  }
  for (var i = 0u; i < X_TASKS; i++) {
    var row = min(at.first_row + tile_row + i * THREAD_ROWS, at.rows - 1u);
    (*staging).scales[i] = 1.0;
    if (HAS_SCALES) { (*staging).scales[i] = x_scales[row]; }
    if (IS_GATHERED) { row = step[step[STEP_GATHERED] + row]; }
    (*staging).x_at[i] = row * (X_STRIDE / 4u);
  }
}

// Reads the K tile that begins at `first_chunk`. Chunks past the last one are zero.
fn fetch(at: Place, first_chunk: u32, staging: ptr<function, Staging>) {
  let chunk = first_chunk + at.thread % TILE_CHUNKS;
  if (chunk >= COLUMN_CHUNKS) {
    for (var i = 0u; i < W_TASKS * CHUNK_WORDS; i++) { (*staging).w[i] = vec4u(); }
    for (var i = 0u; i < X_TASKS * 2u; i++) { (*staging).x[i] = vec4f(); }
    return;
  }
  for (var i = 0u; i < W_TASKS; i++) {
    let start = (*staging).w_at[i];
    (*staging).w[i * CHUNK_WORDS] = weight_word(start, chunk, 0u);
    if (CHUNK_WORDS == 2u) { (*staging).w[i * CHUNK_WORDS + CHUNK_WORDS - 1u] = weight_word(start, chunk, 1u); }
  }
  for (var i = 0u; i < X_TASKS; i++) {
    let start = (*staging).x_at[i] + chunk * 2u;
    (*staging).x[i * 2u] = vec4f(x[start]);
    (*staging).x[i * 2u + 1u] = vec4f(x[start + 1u]);
  }
}

fn stage(at: Place, staging: ptr<function, Staging>) {
  let tile_row = at.thread / TILE_CHUNKS;
  let column = at.thread % TILE_CHUNKS * 8u;
  for (var i = 0u; i < W_TASKS; i++) {
    let row = tile_row + i * THREAD_ROWS;
    if (row < TILE_COLUMNS) {
      let a = vec4<f16>(low((*staging).w[i * CHUNK_WORDS]));
      let b = vec4<f16>(high((*staging).w[i * CHUNK_WORDS + CHUNK_WORDS - 1u]));
      let to = row * TILE_STRIDE + column;
      w_tile[to] = a.x;
      w_tile[to + 1u] = a.y;
      w_tile[to + 2u] = a.z;
      w_tile[to + 3u] = a.w;
      w_tile[to + 4u] = b.x;
      w_tile[to + 5u] = b.y;
      w_tile[to + 6u] = b.z;
      w_tile[to + 7u] = b.w;
    }
  }
  for (var i = 0u; i < X_TASKS; i++) {
    let row = tile_row + i * THREAD_ROWS;
    if (row < TILE_ROWS) {
      let a = vec4<f16>((*staging).x[i * 2u] * (*staging).scales[i]);
      let b = vec4<f16>((*staging).x[i * 2u + 1u] * (*staging).scales[i]);
      let to = row * TILE_STRIDE + column;
      x_tile[to] = a.x;
      x_tile[to + 1u] = a.y;
      x_tile[to + 2u] = a.z;
      x_tile[to + 3u] = a.w;
      x_tile[to + 4u] = b.x;
      x_tile[to + 5u] = b.y;
      x_tile[to + 6u] = b.z;
      x_tile[to + 7u] = b.w;
    }
  }
}

// Moves `results` to y: for each subgroup, the matrix at (`row`, `column`) of its quarter.
fn store(at: Place, row: u32, column: u32) {
  for (var i = at.thread; i < MULTIPLIERS * RESULT_SIZE; i += THREADS) {
    let quarter = i / RESULT_SIZE;
    let own = at.first_row + quarter / 2u * (2u * MATRIX_M) + row + i % RESULT_SIZE / MATRIX_N;
    let output = at.first_output + quarter % 2u * (2u * MATRIX_N) + column + i % MATRIX_N;
    if (own < at.rows && output < OUTPUTS) {
      var value = results[i];
      // The exponent field of 2^-n is 254 minus that of 2^n.
      if (HAS_SCALES) { value *= bitcast<f32>((254u << 23u) - bitcast<u32>(x_scales[own])); }
      let to = own * Y_STRIDE + Y_OFFSET + output;
      if (ADDS) { value += f32(y[to]); }
      y[to] = Y(value);
    }
  }
}

@compute @workgroup_size(THREADS)
fn multiply_matrices(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32,
                     @builtin(subgroup_id) subgroup: u32) {
  let at = Place(thread, group.x * TILE_ROWS, group.y * TILE_COLUMNS,
                 step[select(STEP_ROW_COUNT, STEP_LOGIT_COUNT, IS_GATHERED)]);
  // If subgroups are smaller than the largest size, there are more than four. The others only move data.
  let is_multiplying = subgroup < MULTIPLIERS;
  let x_start = subgroup / 2u * (2u * MATRIX_M * TILE_STRIDE);
  let w_start = subgroup % 2u * (2u * MATRIX_N * TILE_STRIDE);
  // Four variables, because compilers keep an array of matrices in memory.
  var sum_00 = Result();
  var sum_01 = Result();
  var sum_10 = Result();
  var sum_11 = Result();
  var staging: Staging;
  begin(at, &staging);
  fetch(at, 0u, &staging);
  for (var chunk = 0u; chunk < COLUMN_CHUNKS; chunk += TILE_CHUNKS) {
    workgroupBarrier();
    stage(at, &staging);
    workgroupBarrier();
    // The next tile loads while this one is multiplied.
    fetch(at, chunk + TILE_CHUNKS, &staging);
    if (is_multiplying) {
      for (var k = 0u; k < TILE_K; k += MATRIX_K) {
        let left_0 = subgroupMatrixLoad<Left, row_major>(&x_tile, x_start + k, TILE_STRIDE);
        let left_1 = subgroupMatrixLoad<Left, row_major>(&x_tile, x_start + MATRIX_M * TILE_STRIDE + k, TILE_STRIDE);
        // Rows of W are columns of the right matrix.
        let right_0 = subgroupMatrixLoad<Right, col_major>(&w_tile, w_start + k, TILE_STRIDE);
        let right_1 = subgroupMatrixLoad<Right, col_major>(&w_tile, w_start + MATRIX_N * TILE_STRIDE + k, TILE_STRIDE);
        sum_00 = subgroupMatrixMultiplyAccumulate(left_0, right_0, sum_00);
        sum_01 = subgroupMatrixMultiplyAccumulate(left_0, right_1, sum_01);
        sum_10 = subgroupMatrixMultiplyAccumulate(left_1, right_0, sum_10);
        sum_11 = subgroupMatrixMultiplyAccumulate(left_1, right_1, sum_11);
      }
    }
  }
  let own_result = subgroup * RESULT_SIZE;
  if (is_multiplying) { subgroupMatrixStore<row_major>(&results, own_result, sum_00, MATRIX_N); }
  workgroupBarrier();
  store(at, 0u, 0u);
  workgroupBarrier();
  if (is_multiplying) { subgroupMatrixStore<row_major>(&results, own_result, sum_01, MATRIX_N); }
  workgroupBarrier();
  store(at, 0u, MATRIX_N);
  workgroupBarrier();
  if (is_multiplying) { subgroupMatrixStore<row_major>(&results, own_result, sum_10, MATRIX_N); }
  workgroupBarrier();
  store(at, MATRIX_M, 0u);
  workgroupBarrier();
  if (is_multiplying) { subgroupMatrixStore<row_major>(&results, own_result, sum_11, MATRIX_N); }
  workgroupBarrier();
  store(at, MATRIX_M, MATRIX_N);
}

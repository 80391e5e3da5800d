// rate_matrices: measures how fast the GPU multiplies f16 subgroup matrices with sums in f32. Each subgroup makes eight
// results from one pair of inputs: few loads, many products.
// dispatch  any number of workgroups, of which MULTIPLIERS subgroups multiply
// given     at least one matrix
// out       [workgroups, MULTIPLIERS, 8, MATRIX_M, MATRIX_N], out
@group(0) @binding(0) var<storage, read> given: array<f16>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
alias Right = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias Result = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
const RESULT_SIZE = MATRIX_M * MATRIX_N;

@compute @workgroup_size(THREADS)
fn rate_matrices(@builtin(workgroup_id) at: vec3u, @builtin(subgroup_id) subgroup: u32) {
  if (subgroup >= MULTIPLIERS) { return; }
  let a = subgroupMatrixLoad<Left, row_major>(&given, 0u, MATRIX_K);
  let b = subgroupMatrixLoad<Right, row_major>(&given, 0u, MATRIX_N);
  var s0 = Result();
  var s1 = Result();
  var s2 = Result();
  var s3 = Result();
  var s4 = Result();
  var s5 = Result();
  var s6 = Result();
  var s7 = Result();
  for (var i = 0u; i < COUNT; i++) {
    s0 = subgroupMatrixMultiplyAccumulate(a, b, s0);
    s1 = subgroupMatrixMultiplyAccumulate(a, b, s1);
    s2 = subgroupMatrixMultiplyAccumulate(a, b, s2);
    s3 = subgroupMatrixMultiplyAccumulate(a, b, s3);
    s4 = subgroupMatrixMultiplyAccumulate(a, b, s4);
    s5 = subgroupMatrixMultiplyAccumulate(a, b, s5);
    s6 = subgroupMatrixMultiplyAccumulate(a, b, s6);
    s7 = subgroupMatrixMultiplyAccumulate(a, b, s7);
  }
  let to = (at.x * MULTIPLIERS + subgroup) * 8u * RESULT_SIZE;
  subgroupMatrixStore<row_major>(&out, to, s0, MATRIX_N);
  subgroupMatrixStore<row_major>(&out, to + RESULT_SIZE, s1, MATRIX_N);
  subgroupMatrixStore<row_major>(&out, to + 2u * RESULT_SIZE, s2, MATRIX_N);
  subgroupMatrixStore<row_major>(&out, to + 3u * RESULT_SIZE, s3, MATRIX_N);
  subgroupMatrixStore<row_major>(&out, to + 4u * RESULT_SIZE, s4, MATRIX_N);
  subgroupMatrixStore<row_major>(&out, to + 5u * RESULT_SIZE, s5, MATRIX_N);
  subgroupMatrixStore<row_major>(&out, to + 6u * RESULT_SIZE, s6, MATRIX_N);
  subgroupMatrixStore<row_major>(&out, to + 7u * RESULT_SIZE, s7, MATRIX_N);
}

// workgroup_sums: adds up SUMS values over the THREADS threads of a workgroup, through workgroup memory. THREADS is a
// multiple of 8. Text for other kernels, which set SUMS and THREADS; workgroup_sums_subgroups is the variant with
// subgroups.
// After the call every thread may read `totals`. The order of the additions depends on THREADS alone. To be called only
// once in a kernel.
const SUM_SEGMENTS = 8u;
var<workgroup> sum_parts: array<f32, THREADS * SUMS>;
var<workgroup> sum_segments: array<f32, SUM_SEGMENTS * SUMS>;
var<workgroup> totals: array<f32, SUMS>;

fn workgroup_sums(at: Invocation, values: ptr<function, array<f32, SUMS>>) {
  for (var i = 0u; i < SUMS; i++) { sum_parts[at.thread * SUMS + i] = (*values)[i]; }
  workgroupBarrier();
  for (var task = at.thread; task < SUM_SEGMENTS * SUMS; task += THREADS) {
    let first = task / SUMS * (THREADS / SUM_SEGMENTS);
    var sum = 0.0;
    for (var i = 0u; i < THREADS / SUM_SEGMENTS; i++) { sum += sum_parts[(first + i) * SUMS + task % SUMS]; }
    sum_segments[task] = sum;
  }
  workgroupBarrier();
  for (var i = at.thread; i < SUMS; i += THREADS) {
    var sum = 0.0;
    for (var segment = 0u; segment < SUM_SEGMENTS; segment++) { sum += sum_segments[segment * SUMS + i]; }
    totals[i] = sum;
  }
  workgroupBarrier();
}

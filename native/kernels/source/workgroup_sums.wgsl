// workgroup_sums, by way of workgroup memory: adds up SUMS values of each of THREADS threads. Text for other kernels, which
// say SUMS and THREADS; see workgroup_sums_subgroups for the other way. THREADS is a multiple of 8.
// After it every thread may read `totals`. The order of the additions depends on THREADS alone. To be called once a kernel.
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

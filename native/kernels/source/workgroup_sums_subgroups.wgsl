// workgroup_sums as in workgroup_sums.wgsl, by subgroups of four threads or more. Each subgroup leaves one value in
// memory.
var<workgroup> sum_parts: array<f32, (THREADS + 3u) / 4u * SUMS>;
var<workgroup> totals: array<f32, SUMS>;

fn workgroup_sums(at: Invocation, values: ptr<function, array<f32, SUMS>>) {
  let subgroup = at.thread / at.subgroup_size;
  for (var i = 0u; i < SUMS; i++) {
    let sum = subgroupAdd((*values)[i]);
    if (at.lane == 0u) { sum_parts[subgroup * SUMS + i] = sum; }
  }
  workgroupBarrier();
  let subgroups = (THREADS + at.subgroup_size - 1u) / at.subgroup_size;
  for (var i = at.thread; i < SUMS; i += THREADS) {
    var sum = 0.0;
    for (var other = 0u; other < subgroups; other++) { sum += sum_parts[other * SUMS + i]; }
    totals[i] = sum;
  }
  workgroupBarrier();
}

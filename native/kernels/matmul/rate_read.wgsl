// rate_read: measures how fast the GPU reads memory.
// dispatch  any number of workgroups; a thread reads every T-th word, where T is the number of all threads
// given     words of 16 bytes
// out       a word for each thread, out
@group(0) @binding(0) var<storage, read> given: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4u>;

@compute @workgroup_size(THREADS)
fn rate_read(@builtin(global_invocation_id) at: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let threads = groups.x * THREADS;
  var total = vec4u(0u);
  for (var i = at.x; i < arrayLength(&given); i += threads) { total ^= given[i]; }
  out[at.x] = total;
}

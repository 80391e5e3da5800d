// rate_multiply: measures how fast the GPU multiplies and adds in f32. Each thread has eight independent chains of
// COUNT products of vec4f, so that some never wait for a result.
// dispatch  any number of workgroups
// given     at least nine words of 16 bytes
// out       a word for each thread, out
@group(0) @binding(0) var<storage, read> given: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(THREADS)
fn rate_multiply(@builtin(global_invocation_id) at: vec3u) {
  let a = given[0];
  var s0 = given[1];
  var s1 = given[2];
  var s2 = given[3];
  var s3 = given[4];
  var s4 = given[5];
  var s5 = given[6];
  var s6 = given[7];
  var s7 = given[8];
  for (var k = 0u; k < COUNT; k++) {
    s0 = multiply_add4(s0, a, a);
    s1 = multiply_add4(s1, a, a);
    s2 = multiply_add4(s2, a, a);
    s3 = multiply_add4(s3, a, a);
    s4 = multiply_add4(s4, a, a);
    s5 = multiply_add4(s5, a, a);
    s6 = multiply_add4(s6, a, a);
    s7 = multiply_add4(s7, a, a);
  }
  out[at.x] = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}

// What a GPU itself can do: the rates that kernels are held against. Through the JavaScript API of the same Dawn.
import { create, globals } from 'webgpu';

const sum = `
@group(0) @binding(0) var<storage, read> given: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4u>;
@compute @workgroup_size(256)
fn sum(@builtin(global_invocation_id) at: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let threads = groups.x * 256u;
  var total = vec4u(0u);
  for (var i = at.x; i < arrayLength(&given); i += threads) { total ^= given[i]; }
  out[at.x] = total;
}`;

// Eight independent chains of products: a processor always has some that wait for nothing.
const chains = 8;
const multiply = `
override COUNT: u32;
@group(0) @binding(0) var<storage, read> given: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(256)
fn multiply(@builtin(global_invocation_id) at: vec3u) {
  let a = given[0];
  ${chain((i) => `var s${i} = given[${i + 1}];`)}
  for (var k = 0u; k < COUNT; k++) { ${chain((i) => `s${i} = fma(s${i}, a, a);`)} }
  out[at.x] = ${Array.from({ length: chains }, (_, i) => `s${i}`).join(' + ')};
}`;

function chain(write) {
  return Array.from({ length: chains }, (_, i) => write(i)).join('\n  ');
}

/** As many result matrices a subgroup, from one pair of inputs: loads are few, products many. */
function multiplyMatrices({ m, n, k }) {
  return `enable f16;
enable chromium_experimental_subgroup_matrix;
override COUNT: u32;
@group(0) @binding(0) var<storage, read> given: array<f16>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(128)
fn multiply(@builtin(workgroup_id) at: vec3u) {
  let a = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, row_major>(&given, 0u, ${k}u);
  let b = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, row_major>(&given, 0u, ${n}u);
  ${chain((i) => `var s${i} = subgroup_matrix_result<f32, ${n}, ${m}>();`)}
  for (var i = 0u; i < COUNT; i++) { ${chain((i) => `s${i} = subgroupMatrixMultiplyAccumulate(a, b, s${i});`)} }
  ${chain((i) => `subgroupMatrixStore<row_major>(&out, at.x * ${chains * m * n}u + ${i * m * n}u, s${i}, ${n}u);`)}
}`;
}

/**
 * Measures a device's own rates, each the best of `repeats` runs.
 *
 * @param {{ bytes: number, products: number, repeats: number, matrix?: { m: number, n: number, k: number } }} size
 *   `bytes` of each buffer; `products` of each chain of a thread; the shape of the device's matrices of f16 with f32
 *   sums, if it has them.
 * @returns {Promise<{ copy: number, read: number, f32: number, matrices: { shape: string, rate: number } | null }>}
 *   Bytes a second (a copy's are those read and those written), and operations a second (a product and a sum are two).
 */
export async function measureRates({ bytes, products, repeats, matrix }) {
  const gpu = create(['enable-dawn-features=allow_unsafe_apis']);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: features.filter((feature) => adapter.features.has(feature)),
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
  });
  const { GPUBufferUsage: usage } = globals;
  const size = Math.min(bytes, maxBufferSize, maxStorageBufferBindingSize) & ~255;
  const flags = usage.STORAGE | usage.COPY_SRC | usage.COPY_DST;
  const [from, to] = [0, 1].map(() => device.createBuffer({ size, usage: flags }));

  const best = async (encode) => {
    let shortest = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= repeats; i++) {
      const started = performance.now();
      device.pushErrorScope('validation');
      const encoder = device.createCommandEncoder();
      encode(encoder);
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      const error = await device.popErrorScope();
      if (error) throw new Error(error.message);
      // The first run pays for the memory and the pipeline.
      if (i > 0) shortest = Math.min(shortest, performance.now() - started);
    }
    return shortest / 1000;
  };
  const kernel = (code, constants) => {
    const pipeline = device.createComputePipeline({
      layout: 'auto',
      compute: { module: device.createShaderModule({ code }), constants },
    });
    const entries = [from, to].map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    return (encoder, workgroups) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(workgroups);
      pass.end();
    };
  };

  const workgroups = Math.min(4096, Math.floor(size / 16 / 256));
  const copySeconds = await best((encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, size));
  const run = kernel(sum);
  const readSeconds = await best((encoder) => run(encoder, workgroups));
  const multiplyAll = kernel(multiply, { COUNT: products });
  const f32Seconds = await best((encoder) => multiplyAll(encoder, workgroups));
  let matrices = null;
  if (matrix !== undefined && device.features.has('chromium-experimental-subgroup-matrix')) {
    const { m, n, k } = matrix;
    // The subgroups of a workgroup store the same results at the same place.
    const groups = Math.min(4096, Math.floor(size / (chains * m * n * 4)));
    const multiplyAllMatrices = kernel(multiplyMatrices(matrix), { COUNT: products });
    const seconds = await best((encoder) => multiplyAllMatrices(encoder, groups));
    const subgroups = 128 / (adapter.info.subgroupMaxSize ?? 32);
    matrices = { shape: `${m}x${n}x${k}`, rate: (groups * subgroups * products * chains * 2 * m * n * k) / seconds };
  }
  device.destroy();
  return {
    copy: (2 * size) / copySeconds,
    read: size / readSeconds,
    f32: (workgroups * 256 * products * chains * 4 * 2) / f32Seconds,
    matrices,
  };
}

/**
 * Every op of the GPU device against the CPU device, one at a time, on fresh random inputs. KEXA_TEST_DEVICE names
 * another GPU than SwiftShader, KEXA_TEST_ELEMENTS=f16 another element type (tools/check-f16.mjs sets both).
 */
import test, { type Test } from 'tape';
import type { QuantizedType, TensorEntry } from '../../lib/description.js';
import type { LoadOptions } from '../../lib/types.js';
import { rowDifference } from './compare.js';
import {
  cacheCases,
  inputCases,
  type OpCase,
  opCases,
  opShapes,
  probeOptions,
  quantizedConfig,
  quantizedShapes,
  type TwoTypeShape,
  twoTypeShapes,
  weightCases,
} from './op-cases.js';
import { OpProbe, type OpResult, routeMargins } from './op-probe.js';
import { useSoftwareGpu } from './software-gpu.js';

const device = process.env.KEXA_TEST_DEVICE ?? 'swiftshader';
const gpuElements = process.env.KEXA_TEST_ELEMENTS === 'f16' ? 'f16' : 'f32';
if (process.env.KEXA_TEST_DEVICE === undefined) useSoftwareGpu();
const onGpu: LoadOptions = { ...probeOptions, device, gpuChecks: true, gpuElements };
const tolerance = gpuElements === 'f16' ? 1e-2 : 1e-5;
/** Biased scores nearer than this may be ranked either way. */
const nearTie = 1e-6;

/** Numbers of rows that take different kernels or tiles: small steps, and large ones of a tile and more. */
const few = { subgroups: [1, 5, 17, 65], plain: [1, 17] };
/** The error of a value that is rounded the other way, relative to the row's largest: a step of the type. */
const cacheSteps = { f16: 1e-3, bf16: 8e-3, q8: 8e-3, q4: 0.08 } as const;

/**
 * Defines the tests of every op. `isWhole`: on all numbers of rows, and with each cache type on two shapes. Else on few
 * numbers of rows, and with the cache types of blocks on one shape.
 */
export function testOps(isWhole: boolean): void {
  for (const gpuKernels of ['plain', 'subgroups'] as const)
    for (const [name, { config, dtype, rowCounts }] of Object.entries(opShapes))
      test(`ops, ${gpuKernels}, ${dtype}: ${name}`, async (t) => {
        const probe = await OpProbe.open(config, dtype, { ...onGpu, gpuKernels });
        const counts = isWhole ? rowCounts : rowCounts.filter((count) => few[gpuKernels].includes(count));
        checkAll(t, probe, opCases(probe.description, counts));
        // More rows than any one answer has: those of several answers.
        if (isWhole) checkAll(t, probe, opCases(probe.description, [17, 33], false));
        probe.close();
      });
  // The second shape's heads have several blocks.
  for (const [cacheType, step] of Object.entries(cacheSteps) as [keyof typeof cacheSteps, number][]) {
    // Test gpu/attention has every type of cache in whole models.
    if (!isWhole && !cacheType.startsWith('q')) continue;
    for (const [name, { config, dtype }] of Object.entries(opShapes).slice(isWhole ? 0 : 1, 2))
      test(`attention over a cache of ${cacheType}: ${name}`, async (t) => {
        const probe = await OpProbe.open(config, dtype, { ...onGpu, cacheType });
        // Written values are rounded, and a sum near the middle of two numbers may go either way.
        checkAll(t, probe, cacheCases(probe.description.layers), { keys: step, values: step });
        probe.close();
      });
  }
}

/** The ops by which the short test reads each type: rows of a table, and a matrix. */
const readingOps: readonly string[] = ['embed', 'attention_output'];

/** Defines the tests of the ops that read weights, in every type and pair of types. `isWhole`: all such ops. */
export function testWeights(isWhole: boolean): void {
  for (const { types, block } of quantizedShapes) testTypes(types, block, isWhole);
  testFp8();
  for (const [name, shape] of Object.entries(twoTypeShapes)) testTwoTypes(name, shape);
}

function testTypes(types: readonly [QuantizedType, QuantizedType], block: number, isWhole: boolean): void {
  test(`ops that read weights, ${types.join(' and ')}`, async (t) => {
    const probe = await OpProbe.open(quantizedConfig(block), 'F32', onGpu, typeAmong(types));
    const cases = [...weightCases(probe.description)];
    checkAll(t, probe, isWhole ? cases : cases.filter(({ request }) => readingOps.includes(request.op)));
    probe.close();
    // Opening it compiles every kernel as far as Dawn's front end goes, and throws what that finds.
    for (const gpuKernels of ['subgroups', 'matrices'] as const) {
      const options: LoadOptions = { ...onGpu, device: 'null', gpuKernels, gpuElements: 'f16' };
      const compiled = await OpProbe.open(quantizedConfig(block), 'F32', options, typeAmong(types));
      t.ok(compiled, `compile with ${gpuKernels} in f16`);
      compiled.close();
    }
  });
}

function testFp8(): void {
  test('ops that read weights, FP8 scaled by blocks, rows and matrices', async (t) => {
    // Rows of 139 weights have two blocks, the second cut off; those of 608 have 38 units, more than threads.
    const shape = opShapes['head_dim 128, 8 heads on 1, window 128, SwiGLU limits']!;
    const config = { ...shape.config, intermediate_size: 608 };
    const typeOf = ({ name, shape }: TensorEntry) => {
      if (shape.length === 1) return undefined;
      return /\.(v|o)$|^embed$/.test(name)
        ? 'fp8 by rows'
        : /\.(down|fc)$/.test(name)
          ? 'fp8 as a whole'
          : 'fp8 by blocks';
    };
    const probe = await OpProbe.open(config, 'F32', onGpu, typeOf);
    checkAll(t, probe, weightCases(probe.description));
    probe.close();
    for (const gpuKernels of ['subgroups', 'matrices'] as const) {
      const options: LoadOptions = { ...onGpu, device: 'null', gpuKernels, gpuElements: 'f16' };
      const compiled = await OpProbe.open(config, 'F32', options, typeOf);
      t.ok(compiled, `compile with ${gpuKernels} in f16`);
      compiled.close();
    }
  });
}

function testTwoTypes(name: string, { config, dtype, types }: TwoTypeShape): void {
  test(`gate and up of two types: ${name}`, async (t) => {
    const typeOf = ({ name }: TensorEntry) => {
      const role = /^layers\.\d+\.(?:(shared|experts)\.(?:\d+\.)?)?(gate|up)$/.exec(name);
      return role === null ? undefined : types[(role[1] ?? 'dense') as keyof typeof types][role[2] as 'gate' | 'up'];
    };
    const probe = await OpProbe.open(config, dtype, onGpu, typeOf);
    checkAll(t, probe, inputCases(probe.description));
    probe.close();
    const options: LoadOptions = { ...onGpu, device: 'null', gpuKernels: 'matrices', gpuElements: 'f16' };
    const compiled = await OpProbe.open(config, dtype, options, typeOf);
    t.ok(compiled, 'compile with matrices in f16');
    compiled.close();
  });
}

/** Defines the test of what is refused. */
export function testRefusals(): void {
  test('experts of a layer must be of one type each for gate, up and down', async (t) => {
    for (const [odd, label] of [
      ['layers.1.experts.3.gate', "layer 1 experts' gate"],
      ['layers.1.experts.3.up', "layer 1 experts' up"],
      ['layers.1.experts.3.down', "layer 1 experts' down"],
    ] as const)
      try {
        const typeOf = ({ name, shape }: TensorEntry) =>
          shape.length === 1 || name.endsWith('router') ? undefined : name === odd ? 'q8_0' : 'q4_0';
        (await OpProbe.open(quantizedConfig(32), 'F32', { ...onGpu, device: 'null' }, typeOf)).close();
        t.fail(`${odd} of another type is taken`);
      } catch (error) {
        const { code, message } = error as Error & { code: string };
        t.equal(code, 'KEXA_UNSUPPORTED', message);
        t.ok(message.startsWith(`${label}: `), `it names ${label}`);
      }
  });
}

/** Matrices of two types, those of a shared expert the other way round; routers and vectors as they are. */
function typeAmong(types: readonly [QuantizedType, QuantizedType]) {
  return ({ name, shape }: TensorEntry) => {
    if (shape.length === 1 || name.endsWith('router')) return undefined;
    const isShared = name.includes('.shared.');
    // Once it is not quantised at all: a chunk of it is two words, one of the others' is one.
    if (isShared && types[0] === 'q8_0') return undefined;
    return types[/\.(v|o|down|fc)$|^head$/.test(name) !== isShared ? 1 : 0];
  };
}

/** Runs the cases; one assertion for each result of each op, with the worst case's title. */
function checkAll(t: Test, probe: OpProbe, cases: Iterable<OpCase>, tolerances: Record<string, number> = {}): void {
  const found = new Map<string, { count: number; worst: number; title: string; limit: number }>();
  for (const { title, request } of cases) {
    const results = probe.run(request);
    for (const result of request.op === 'route' ? withoutNearTies(results, probe) : results) {
      const key = `${request.op}: ${result.name}`;
      const limit = result.isExact ? 0 : Math.max(tolerance, tolerances[result.name] ?? 0);
      const entry = found.get(key) ?? { count: 0, worst: -1, title: '', limit };
      const difference = rowDifference(result.gpu, result.cpu, result.columns);
      if (difference > entry.worst) Object.assign(entry, { worst: difference, title });
      entry.count++;
      found.set(key, entry);
    }
  }
  for (const [key, { count, worst, title, limit }] of found)
    t.ok(worst <= limit, `${key}: ${count} cases within ${worst.toExponential(1)} (${title})`);
}

/** Experts and weights of the rows whose choice is clear. */
function withoutNearTies(results: OpResult[], probe: OpProbe): OpResult[] {
  const margins = routeMargins(results.find(({ name }) => name === 'scores')!.cpu, probe.description.moe!);
  return results
    .filter(({ name }) => name !== 'scores')
    .map((result) => {
      const clear = (values: Float32Array) =>
        values.filter((_, i) => margins[Math.floor(i / result.columns)]! > nearTie);
      return { ...result, cpu: clear(result.cpu), gpu: clear(result.gpu) };
    });
}

/**
 * Products in whole numbers on the GPU (`activations: 'i16'`): ops against the CPU device with f32 activations. Inputs
 * are numbers that rounding keeps, so ops without a norm are as exact as in f32.
 */
import test from 'tape';
import type { QuantizedType, TensorEntry } from '../../lib/description.js';
import type { LoadOptions } from '../../lib/types.js';
import { rowDifference } from './compare.js';
import { opCases, probeOptions, quantizedConfig } from './op-cases.js';
import { OpProbe } from './op-probe.js';
import { useSoftwareGpu } from './software-gpu.js';

const device = process.env.KEXA_TEST_DEVICE ?? 'swiftshader';
if (process.env.KEXA_TEST_DEVICE === undefined) useSoftwareGpu();
const rounding: LoadOptions = { ...probeOptions, device, gpuChecks: true, activations: 'i16' };
/** Ops whose inputs are rounded without loss. The others round what a norm or SwiGLU has made. */
const exactOps = ['embed', 'attention_output', 'head'];
const roundedTolerance = 2e-4;

/** A quantised type for most matrices, and one for the others. */
export type TypePair = readonly [QuantizedType, QuantizedType];

/** Weights of a row of blocks that a pair of types can share. */
const blockOf = (types: TypePair) => (types.every((type) => type === 'q8_0') ? 32 : 256);

/** A test of the ops that read weights, on these numbers of rows. */
export function testDots(types: TypePair, gpuKernels: 'plain' | 'subgroups', counts: readonly number[]): void {
  test(`ops in whole numbers, ${gpuKernels}: ${types.join(' and ')}`, async (t) => {
    const config = quantizedConfig(blockOf(types));
    const probe = await OpProbe.open(config, 'F32', { ...rounding, gpuKernels }, among(types));
    const worst = worstOf(probe, counts);
    for (const [key, { difference, title, isExact }] of worst)
      t.ok(difference <= (isExact ? 1e-5 : roundedTolerance), `${key}: ${difference.toExponential(1)} (${title})`);
    const off = [...worst.values()].filter(({ isExact }) => !isExact);
    t.ok(
      off.some(({ difference }) => difference > 1e-6),
      'others do round',
    );
    probe.close();
  });
}

/** A test that a row's result does not depend on the rows beside it. */
export function testRowInvariance(types: TypePair): void {
  test(`in whole numbers a row has the same bits alone and in company: ${types.join(' and ')}`, async (t) => {
    const probe = await OpProbe.open(quantizedConfig(blockOf(types)), 'F32', rounding, among(types));
    for (const op of ['attention_input', 'dense_ffn', 'head'] as const) {
      const first = (count: number) => {
        const rows = Array.from({ length: count }, (_, i) => ({ slot: 1, position: 3 + i }));
        const logitRows = op === 'head' ? rows.map((_, i) => i) : [];
        const { gpu, columns } = probe.run({ op, rows, logitRows, isPrompt: false, seed: 7 })[0]!;
        return Buffer.from(gpu.slice(0, columns).buffer);
      };
      const alone = first(1);
      for (const count of [2, 3, 4, 5, 9, 16])
        t.ok(first(count).equals(alone), `${op}, ${types.join(' and ')}: with ${count - 1} others`);
    }
    probe.close();
  });
}

function among(types: TypePair) {
  return ({ name, shape }: TensorEntry) =>
    shape.length === 1 || name.endsWith('router') ? undefined : types[/\.(v|o|down|fc)$|^head$/.test(name) ? 1 : 0];
}

function worstOf(probe: OpProbe, counts: readonly number[]) {
  const worst = new Map<string, { difference: number; title: string; isExact: boolean }>();
  for (const { title, request } of opCases(probe.description, counts, false)) {
    if (['attention', 'final_norm', 'begin_draft', 'route'].includes(request.op)) continue;
    for (const result of probe.run(request)) {
      const key = `${request.op}: ${result.name}`;
      const difference = rowDifference(result.gpu, result.cpu, result.columns);
      const isExact = exactOps.includes(request.op) || result.isExact;
      if (difference > (worst.get(key)?.difference ?? -1)) worst.set(key, { difference, title, isExact });
    }
  }
  return worst;
}

/**
 * Products in whole numbers on the GPU (`activations: 'i16'`): ops against the CPU device with f32 activations. Inputs are
 * numbers that rounding keeps, so ops without a norm are as exact as in f32.
 */
import test from 'tape';
import type { QuantizedType, TensorEntry } from '../../lib/description.js';
import type { LoadOptions } from '../../lib/types.js';
import { rowDifference } from '../support/compare.js';
import { opCases, probeOptions, quantizedConfig } from '../support/op-cases.js';
import { OpProbe } from '../support/op-probe.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

const device = process.env.KEXA_TEST_DEVICE ?? 'swiftshader';
if (process.env.KEXA_TEST_DEVICE === undefined) useSoftwareGpu();
const rounding: LoadOptions = { ...probeOptions, device, gpuChecks: true, activations: 'i16' };
/** Ops whose inputs are rounded without loss. The others round what a norm or SwiGLU has made. */
const exactOps = ['embed', 'attention_output', 'head'];
const roundedTolerance = 2e-4;

for (const gpuKernels of ['plain', 'subgroups'] as const)
  for (const [types, block] of [
    [['q8_0', 'q8_0'], 32],
    [['q4_k', 'q8_0'], 256],
    [['iq2_xxs', 'q4_k'], 256],
  ] as const)
    test(`ops in whole numbers, ${gpuKernels}: ${types.join(' and ')}`, async (t) => {
      const probe = await OpProbe.open(quantizedConfig(block), 'F32', { ...rounding, gpuKernels }, among(types));
      const worst = worstOf(probe, gpuKernels === 'plain' ? [1, 5] : [1, 2, 3, 5, 9, 17]);
      for (const [key, { difference, title, isExact }] of worst)
        t.ok(difference <= (isExact ? 1e-5 : roundedTolerance), `${key}: ${difference.toExponential(1)} (${title})`);
      const off = [...worst.values()].filter(({ isExact }) => !isExact);
      t.ok(
        off.some(({ difference }) => difference > 1e-6),
        'others do round',
      );
      probe.close();
    });

function among(types: readonly [QuantizedType, QuantizedType]) {
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

test('in whole numbers a row has the same bits alone and in company', async (t) => {
  for (const [types, block] of [
    [['q8_0', 'q8_0'], 32],
    [['q4_k', 'iq2_xxs'], 256],
    [['iq2_xxs', 'q4_k'], 256],
  ] as const) {
    const probe = await OpProbe.open(quantizedConfig(block), 'F32', rounding, among(types));
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
  }
});

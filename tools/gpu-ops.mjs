// Measures which share of the GPU's own rates each op reaches, for tools/gpu-check.mjs: kexa bench ops, in short.
import { benchmarkOps } from '../dist/index.js';

/**
 * Measures the device's own rates, then a decode step and a prefill step of the config in `folder`, op by op.
 *
 * @param {{ device: string, isQuick: boolean, note(name: string, text: string): void,
 *   row(name: string, text: string, isRight: boolean): void }} options `row` and `note` take what was found.
 */
export async function measureOps(folder, { device, isQuick, note, row }) {
  // A software GPU takes seconds to compile each way.
  const common = {
    device,
    synthetic: true,
    ...(isQuick && { variants: ['plain'], repetitions: 1, leastMs: 0 }),
  };
  const steps = [
    ...(isQuick ? [64] : [64, 4096]).map((depth) => ({ name: `decode @ ${depth}`, rows: [1], depth })),
    { name: `prefill ${isQuick ? 64 : 512}`, rows: [isQuick ? 64 : 512], depth: 0 },
  ];
  for (const [i, { name, ...size }] of steps.entries()) {
    const { rates, results } = await benchmarkOps(folder, { ...common, ...size });
    note(`ops, ${name}`, JSON.stringify({ rates, results }));
    if (i === 0) {
      const matrices = rates.matrices === null ? '' : `, ${rates.matrixShape} ${tera(rates.matrices)}`;
      row(
        'the device itself',
        `copy ${giga(rates.copy)}, read ${giga(rates.read)}, f32 ${tera(rates.f32)}${matrices}`,
        rates.copy > 0 && rates.f32 > 0,
      );
    }
    for (const result of results) {
      const { op, shape, elements, variant, ms, share, gbPerS, gflopPerS, perStep, timedBy } = result;
      const way = `${elements}, ${variant}`;
      if (op === 'unaccounted') {
        row(`  ${name}: ${op}, ${way}`, shape, true);
        continue;
      }
      const kernels = result.kernels.map((kernel) => `${kernel.name} ${micro(kernel.ms)}`).join(', ');
      const text =
        `${micro(ms)} by the ${timedBy}, x ${perStep}: ${gbPerS.toFixed(1)} GB/s ` +
        `(${percent((gbPerS * 1e9) / rates.copy)} of copy, ${percent((gbPerS * 1e9) / rates.read)} of read), ` +
        `${gflopPerS.toFixed(0)} GFLOP/s; ${percent(share)} of the floor${kernels && `; ${kernels}`}`;
      row(`  ${name}: ${op} ${shape}, ${way}`, text, ms > 0);
    }
  }
}

function micro(ms) {
  return `${(ms * 1e3).toFixed(ms < 0.1 ? 1 : 0)} us`;
}

function giga(rate) {
  return `${(rate / 1e9).toFixed(1)} GB/s`;
}

function tera(rate) {
  return `${(rate / 1e12).toFixed(2)} TFLOP/s`;
}

function percent(part) {
  return `${(part * 100).toFixed(0)} %`;
}

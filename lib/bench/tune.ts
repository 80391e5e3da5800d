/** Chooses a device's kernels from measured ops. */

import { tunedOps } from '../device/ops.js';
import type { DeviceTuning, TunedKernels } from '../device/tuning.js';
import { limits } from '../limits.js';
import { version } from '../package-root.js';
import type { OpBenchResult } from './ops.js';
import { mean } from './statistics.js';

/** The least gain. Less is noise, and the usual way stays. */
const leastGain = 1.02;

/**
 * The faster way of each op, by the geometric mean over the numbers of rows. There is one way for all small steps, so
 * that a row's bits do not depend on the other rows, and one for larger steps if ops.ts says so. Only f32 elements
 * count, and only ways with the same results to rounding: matrices, which round to f16, must be asked for.
 */
export function tuneFrom(results: readonly OpBenchResult[]): DeviceTuning['ops'] {
  const found: DeviceTuning['ops'] = {};
  for (const tuned of tunedOps) {
    const isLarge = tuned.endsWith(' large');
    const own = results.filter(
      ({ op, rows, elements }) =>
        `${op}${isLarge ? ' large' : ''}` === tuned && rows > limits.smallRows === isLarge && elements === 'f32',
    );
    const ratios = [...new Set(own.map(({ rows }) => rows))].flatMap((rows) => {
      const time = (variant: TunedKernels) =>
        own
          .filter((one) => one.rows === rows && one.variant === variant)
          .reduce((sum, { ms, perStep }) => sum + ms * Math.max(1, perStep), 0);
      const ratio = time('plain') / time('subgroups');
      return Number.isFinite(ratio) && ratio > 0 ? [Math.log(ratio)] : [];
    });
    if (ratios.length === 0) continue;
    const ratio = Math.exp(mean(ratios));
    found[tuned] = ratio * leastGain < 1 ? { kernels: 'plain', ratio: 1 / ratio } : { kernels: 'subgroups', ratio };
  }
  return found;
}

export function deviceTuning(results: readonly OpBenchResult[]): DeviceTuning {
  return { kexa: version(), measured: new Date().toISOString(), ops: tuneFrom(results) };
}

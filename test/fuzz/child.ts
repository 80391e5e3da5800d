/** Runs cases in a process that may die of them: `child.ts FORMAT FOLDER`. Cases come as messages. */
import { KexaError } from '../../lib/index.js';
import { type Format, openTarget } from './formats.js';
import { Random } from './random.js';

/** The outcome of a case. A fault is anything but success and KexaError. */
export interface Outcome {
  seed: number;
  code: string | null;
  fault: string | null;
  milliseconds: number;
  residentBytes: number;
}

const [format, folder] = process.argv.slice(2) as [Format, string];
const target = await openTarget(format, folder);
process.on('message', async ({ seed }: { seed: number }) => {
  const random = new Random(seed);
  target.damage(random);
  const start = performance.now();
  const outcome: Outcome = { seed, code: null, fault: null, milliseconds: 0, residentBytes: 0 };
  try {
    await target.read();
  } catch (error) {
    if (error instanceof KexaError && error.code !== 'KEXA_INTERNAL') outcome.code = error.code;
    else outcome.fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  outcome.milliseconds = performance.now() - start;
  outcome.residentBytes = process.memoryUsage.rss();
  process.send!(outcome);
});
process.on('disconnect', () => process.exit());
process.send!({ seed: -1, code: null, fault: null, milliseconds: 0, residentBytes: 0 } satisfies Outcome);

/** A run of the fuzzer over one format: cases by their seeds, each of which must end well in time and memory. */
import { type ChildProcess, fork } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './child.js';
import type { Format } from './formats.js';

export interface CampaignOptions {
  firstSeed: number;
  /** Ends after so many cases, or at `until` (as of `performance.now()`). */
  cases: number;
  until: number;
  /** Where the files of a case that fails are kept; null: nowhere. */
  keepIn: string | null;
}

export interface Finding {
  format: Format;
  seed: number;
  what: string;
}

export interface CampaignResult {
  format: Format;
  executions: number;
  succeeded: number;
  /** How many cases were refused with which code. */
  refused: Map<string, number>;
  slowest: { seed: number; milliseconds: number };
  findings: Finding[];
}

/** A case that takes so long, some thousand times the usual, has no end, also on a machine that does much else. */
const longestMs = 180_000;
/** Compiling the code that a process runs may take long there. */
const longestStartMs = 600_000;
/** A process that has more is taken for one that leaks, or believes what a file says of sizes. */
const mostBytes = 1.5 * 2 ** 30;
const mostHeap = 768;
/** A new process after so many cases, so that a slow leak is not taken for a case's doing. */
const casesAProcess = 2000;

export async function runCampaign(format: Format, options: CampaignOptions): Promise<CampaignResult> {
  const folder = mkdtempSync(join(tmpdir(), `kexa-fuzz-${format}-`));
  const result: CampaignResult = {
    format,
    executions: 0,
    succeeded: 0,
    refused: new Map(),
    slowest: { seed: -1, milliseconds: 0 },
    findings: [],
  };
  let runner: CaseRunner | null = null;
  let left = 0;
  try {
    for (let i = 0; i < options.cases && performance.now() < options.until; i++) {
      const seed = options.firstSeed + i;
      if (runner === null || left === 0) {
        runner?.stop();
        runner = await CaseRunner.start(format, join(folder, String(seed)));
        left = casesAProcess;
      }
      left--;
      const outcome = await runner.run(seed);
      result.executions++;
      if (outcome.milliseconds > result.slowest.milliseconds)
        result.slowest = { seed, milliseconds: outcome.milliseconds };
      const isLarge = outcome.residentBytes > mostBytes;
      const fault = outcome.fault ?? (isLarge ? `${outcome.residentBytes} bytes of memory` : null);
      if (fault !== null) {
        result.findings.push({ format, seed, what: fault });
        keep(options.keepIn, format, seed, folder);
        runner.stop();
        runner = null;
      } else if (outcome.code === null) result.succeeded++;
      else result.refused.set(outcome.code, (result.refused.get(outcome.code) ?? 0) + 1);
    }
  } finally {
    runner?.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
  return result;
}

/** A process that runs cases, and what it last said on stderr. */
class CaseRunner {
  readonly #child: ChildProcess;
  #said = '';

  private constructor(format: Format, folder: string) {
    this.#child = fork(new URL('child.ts', import.meta.url), [format, folder], {
      execArgv: ['--import', 'tsx', `--max-old-space-size=${mostHeap}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr!.on('data', (text: Buffer) => {
      this.#said = (this.#said + text.toString('utf8')).slice(-4000);
    });
  }

  static async start(format: Format, folder: string): Promise<CaseRunner> {
    const runner = new CaseRunner(format, folder);
    const { fault } = await runner.#answer(-1, null, longestStartMs);
    if (fault !== null) throw new Error(`${format}: ${fault}`);
    return runner;
  }

  /** The outcome of a case; of one that ends the process or hangs, too. */
  async run(seed: number): Promise<Outcome> {
    return await this.#answer(seed, { seed }, longestMs);
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }

  async #answer(seed: number, question: object | null, limitMs: number): Promise<Outcome> {
    return await new Promise((resolve) => {
      const end = (outcome: Outcome) => {
        clearTimeout(timer);
        this.#child.removeAllListeners('message').removeAllListeners('close');
        resolve(outcome);
      };
      const fail = (fault: string) => end({ seed, code: null, fault, milliseconds: 0, residentBytes: 0 });
      const timer = setTimeout(() => fail(`no end after ${limitMs} ms`), limitMs);
      this.#child.once('message', (outcome: Outcome) => end(outcome));
      // Only now has all been read that it said.
      this.#child.once('close', (code, signal) => fail(`the process ended with ${signal ?? code}: ${this.#said}`));
      if (question !== null) this.#child.send(question, () => {});
    });
  }
}

function keep(into: string | null, format: Format, seed: number, folder: string): void {
  if (into === null) return;
  mkdirSync(into, { recursive: true });
  cpSync(folder, join(into, `${format}-${seed}`), { recursive: true });
}

/** One line for people. */
export function summary({ format, executions, succeeded, refused, slowest, findings }: CampaignResult): string {
  const codes = [...refused].sort((a, b) => b[1] - a[1]).map(([code, count]) => `${count} ${code}`);
  return (
    `${format}: ${executions} executions, ${succeeded} read, ${codes.join(', ') || 'none refused'}; ` +
    `slowest ${slowest.milliseconds.toFixed(0)} ms (seed ${slowest.seed}); ${findings.length} findings`
  );
}

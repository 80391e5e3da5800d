/** Runs the fuzzer over one format. Each case has a seed, and must end well in time and memory. */
import { type ChildProcess, fork } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './child.js';
import type { Format } from './formats.js';

export interface CampaignOptions {
  firstSeed: number;
  /** The most cases. The run also ends at the time `until`, by `performance.now()`. */
  cases: number;
  until: number;
  /** The folder that keeps the files of failing cases. Null: none are kept. */
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
  /** The number of refused cases for each code. */
  refused: Map<string, number>;
  slowest: { seed: number; milliseconds: number };
  findings: Finding[];
}

/** The time after which a case is taken to hang: some thousand times the usual, enough even on a busy machine. */
const longestMs = 180_000;
/** The time for a process to start. Compiling its code may take long on a busy machine. */
const longestStartMs = 600_000;
/** The most memory of a process. One that takes more leaks, or believes a file's sizes. */
const mostBytes = 1.5 * 2 ** 30;
const mostHeap = 768;
/** The number of cases a process runs. Then a new one starts, so that a slow leak is not blamed on a case. */
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

/** A process that runs cases, with its last output on stderr. */
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

  /** Runs a case and gives its outcome, also if it ends the process or hangs. */
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
      // After `close` all output of the process has been read.
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

/** An engine in its own process. It takes one request at a time over Node's channel between processes. */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KexaError } from '../../errors.js';
import type { ActivationType } from '../../types.js';

export interface StartRequest {
  kind: 'start';
  model: string;
  threads: number;
  /** The most tokens of a sequence. */
  contextSize: number;
  /** The number of sequences that are answered at once. */
  sequences: number;
  /** The prompt tokens that are computed together. Undefined: the engine's default. */
  batchSize: number | undefined;
  /** The type of kexa's activations. The peer ignores it. */
  activations: ActivationType;
}

/** Asks to compute prompts from an empty cache, all at once, and to generate greedily after each, past end tokens. */
export interface RunRequest {
  kind: 'run';
  /** One for each sequence, or fewer. */
  prompts: number[][];
  generated: number;
  /** Whether the margins of the tokens are wanted. Each costs a pass over the vocabulary. */
  wantsMargins?: boolean;
}

/** The reply to a request. Times are by the clock of the engine's process, from the call to the last token. */
export interface Reply {
  milliseconds: number;
  /** The first prompt's answer. */
  ids: number[];
  /** Each token's lead over the next best, in log-probability. Empty if the engine does not tell. */
  margins: number[];
  /** The most memory that the process has held so far: VmHWM on Linux. */
  peakBytes: number;
}

/** An engine, as its process serves it. */
export interface Engine {
  start(request: StartRequest): Promise<void>;
  run(request: RunRequest): Promise<{ ids: number[]; margins?: number[] }>;
}

/** Serves an engine, in the process that {@link Contestant} started. */
export function serve(engine: Engine): void {
  process.on('message', (request: StartRequest | RunRequest) => {
    const began = performance.now();
    const work = request.kind === 'start' ? engine.start(request) : engine.run(request);
    work.then(
      (found) => {
        const milliseconds = performance.now() - began;
        const { ids, margins = [] } = found ?? { ids: [] };
        process.send!({ reply: { milliseconds, ids, margins, peakBytes: peakBytes() } satisfies Reply });
      },
      (error: Error) => process.send!({ error: error.message }),
    );
  });
}

function peakBytes(): number {
  try {
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kib !== undefined) return Number(kib) * 1024;
  } catch {
    // Only Linux has the file.
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** The measuring process's side of an engine's process. */
export class Contestant {
  readonly name: string;
  readonly #process: ChildProcess;
  #said = '';

  /** Starts `script` beside this file. */
  constructor(name: string, script: string, args: string[]) {
    this.name = name;
    this.#process = fork(fileURLToPath(new URL(script, import.meta.url)), args, {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
    });
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-4000);
    });
  }

  /** @throws KexaError KEXA_INTERNAL if the engine fails or ends, with its message */
  ask(request: StartRequest | RunRequest): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const settle = () => this.#process.off('message', onMessage).off('exit', onExit).off('error', onError);
      const fail = (what: string) => {
        settle();
        const said = this.#said.trim().split('\n').at(-1);
        reject(new KexaError('KEXA_INTERNAL', `${this.name}: ${what}${said ? `: ${said}` : ''}`));
      };
      const onMessage = (message: { reply?: Reply; error?: string }) => {
        if (message.reply === undefined) return fail(message.error ?? 'no answer');
        settle();
        resolve(message.reply);
      };
      const onExit = (code: number | null, signal: string | null) => fail(`its process ended (${signal ?? code})`);
      const onError = (error: Error) => fail(error.message);
      this.#process.on('message', onMessage).on('exit', onExit).on('error', onError);
      this.#process.send(request);
    });
  }

  /** Ends the process, and waits until its memory is free. */
  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await ended;
  }
}

/** Runs the command `kexa` as a program, with pipes or under a pseudo-terminal, and keeps what it prints. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tape';
import { hangLimit } from './hang-limit.js';
import { goldensFolder, modelFolder } from './models.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const bin = join(root, 'bin/kexa.js');
export const tiny = modelFolder('tiny');
export const genesis = 'In the beginning God created';
export const greedy = ['generate', '-m', tiny, '--temp', '0'];

export interface Golden {
  ids: number[];
  greedy: number[];
  logprobs: number[];
  text: string;
}

export const goldens = JSON.parse(readFileSync(join(goldensFolder('tiny'), 'goldens.json'), 'utf8')) as Golden[];
export const golden = goldens.find(({ text }) => text === genesis)!;

// The tests must not depend on the variables of whoever runs them.
export const environment: NodeJS.ProcessEnv = { ...process.env };
for (const name of Object.keys(environment))
  if (name.startsWith('KEXA_') && name !== 'KEXA_BINARY') delete environment[name];
delete environment.NO_COLOR;

export interface Run {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** The text that is piped in. Null is an empty input. */
  input?: string | Buffer | null;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

export function start(
  args: readonly string[],
  { env = {}, cwd = root }: RunOptions = {},
): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [bin, ...args], { cwd, env: { ...environment, ...env }, timeout: hangLimit });
}

export async function kexa(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const child = start(args, options);
  child.stdin.on('error', () => {}); // the child may end before it has read everything
  child.stdin.end(options.input ?? '');
  return await ended(child);
}

/** A command line for {@link kexaRuns}. */
export interface Line {
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
}

/**
 * Runs command lines in one process, one after the other, with nothing on standard input: for the many that end at
 * once, most of which are wrong. Results are in the order of the lines.
 */
export async function kexaRuns(lines: readonly Line[]): Promise<Run[]> {
  const script = join(root, 'test/support/cli-runs.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify(lines)], {
    cwd: root,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: hangLimit,
  });
  const { code, stdout, stderr } = await ended(child);
  if (code !== 0) throw new Error(`${script} ended with ${code}\n${stderr}`);
  return JSON.parse(stdout) as Run[];
}

export async function ended(child: ChildProcess): Promise<Run> {
  const run = { code: null as number | null, stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    run.stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    run.stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  run.code = code;
  return run;
}

/** Makes a folder that is removed after the test. */
export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Runs kexa, or another program, under a pseudo-terminal made by util-linux's `script`. */
export class Terminal {
  readonly #child: ReturnType<typeof spawn>;
  #output = '';
  #seen = 0;

  constructor(
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    program: readonly string[] = [process.execPath, bin],
  ) {
    const words = [...program, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
    // Typed lines must not come into the history of whoever runs the tests.
    const all = { ...environment, TERM: 'xterm', KEXA_HISTORY: '/dev/null', ...env };
    // Without exec a shell such as dash stays. It would take Ctrl-C too and report that in place of the program's exit
    // code.
    const command = `exec ${words.join(' ')}`;
    this.#child = spawn('script', ['-qec', command, '/dev/null'], { env: all, timeout: hangLimit });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
  }

  get output(): string {
    return this.#output;
  }

  type(keys: string): void {
    this.#child.stdin!.write(keys);
  }

  /** Waits until a text has been shown since the last call. */
  async shows(text: string): Promise<void> {
    const until = Date.now() + hangLimit;
    for (;;) {
      const at = this.#output.indexOf(text, this.#seen);
      if (at !== -1) {
        this.#seen = at + text.length;
        return;
      }
      if (Date.now() > until) throw new Error(`not shown: ${text}\n${JSON.stringify(this.#output.slice(this.#seen))}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async ends(): Promise<number> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const [code] = (await once(this.#child, 'exit')) as [number];
    return code;
  }
}

function hasScript(): boolean {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
}

export const noTerminal = hasScript() ? {} : { skip: 'needs util-linux script for a pseudo-terminal' };

import { readFileSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { writeFileAtomic } from '../files/atomic-file.js';
import { writeNote } from './output.js';

/** A line, the end of the input, or Ctrl-C at the prompt (on a line with text or an empty one). */
export type LineEvent = { kind: 'line'; text: string } | { kind: 'end' } | { kind: 'interrupt'; hadText: boolean };

const historyLength = 1000;

/**
 * Lines from standard input. On a terminal they are edited, with earlier lines on the up and down keys, and Ctrl-C is a
 * key: one typed between two {@link read}s waits for the next. In a {@link pause} the terminal is as any program has it.
 */
export class LineReader {
  /** Whether someone types, rather than a file or a pipe. */
  readonly isInteractive: boolean = process.stdin.isTTY === true;
  readonly #lines: Interface;
  readonly #waiting: LineEvent[] = [];
  #take: ((event: LineEvent) => void) | null = null;

  /** `historyFile` keeps the lines of earlier chats; without, they are forgotten. */
  constructor(historyFile?: string) {
    const output = process.stdout.isTTY ? process.stdout : process.stderr;
    this.#lines = createInterface({
      input: process.stdin,
      ...(this.isInteractive && { output, terminal: process.env.TERM !== 'dumb' && output.isTTY === true }),
      ...(historyFile !== undefined && { history: readHistory(historyFile) }),
      historySize: historyLength,
      removeHistoryDuplicates: true,
      crlfDelay: Number.POSITIVE_INFINITY,
    });
    this.#lines.on('line', (text) => this.#give({ kind: 'line', text }));
    this.#lines.on('close', () => this.#give({ kind: 'end' }));
    this.#lines.on('SIGINT', () => this.#onInterrupt());
    if (historyFile !== undefined) this.#lines.on('history', historySaver(historyFile));
  }

  /** The next line. The prompt is shown to people only. After the end, every read gives the end. */
  async read(prompt: string): Promise<LineEvent> {
    const waiting = this.#waiting[0];
    if (waiting !== undefined) {
      if (waiting.kind !== 'end') this.#waiting.shift();
      return waiting;
    }
    if (this.isInteractive) {
      if (this.#lines.terminal) process.stdin.setRawMode(true);
      this.#lines.setPrompt(prompt);
      this.#lines.prompt();
    }
    const event = await new Promise<LineEvent>((resolve) => {
      this.#take = resolve;
    });
    if (event.kind === 'end') this.#waiting.push(event);
    return event;
  }

  /** Until it is disposed nothing is read, and on a terminal Ctrl-C is a signal again: be ready for it before. */
  pause(): Disposable {
    const { terminal } = this.#lines;
    if (this.isInteractive) this.#lines.pause();
    if (terminal) process.stdin.setRawMode(false);
    return {
      [Symbol.dispose]() {
        if (terminal) process.stdin.setRawMode(true);
      },
    };
  }

  close(): void {
    this.#lines.close();
  }

  #onInterrupt(): void {
    const hadText = this.#lines.line !== '';
    // From the end of the line back to its start.
    this.#lines.write(null, { ctrl: true, name: 'e' });
    this.#lines.write(null, { ctrl: true, name: 'u' });
    writeNote('\n');
    this.#give({ kind: 'interrupt', hadText });
  }

  #give(event: LineEvent): void {
    if (this.#take === null) {
      this.#waiting.push(event);
      return;
    }
    const take = this.#take;
    this.#take = null;
    take(event);
  }
}

/** Latest first, as readline has it; in the file the latest is last. */
function readHistory(file: string): string[] {
  try {
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
    return lines.slice(-historyLength).reverse();
  } catch {
    return [];
  }
}

/** Writes the lines into the file. Each writing waits for the one before it, so that the last lines stay. */
function historySaver(file: string): (lines: readonly string[]) => void {
  let saved = Promise.resolve();
  return (lines) => {
    const text = `${lines.toReversed().join('\n')}\n`;
    saved = saved
      .then(() => writeFileAtomic(file, text, { mode: 0o600 }))
      .catch((error: Error) => writeNote(`kexa: KEXA_HISTORY: ${error.message}\n`));
  };
}

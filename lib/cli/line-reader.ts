import { createInterface, type Interface, type Key } from 'node:readline';
import { historyLength, type LineHistory } from './line-history.js';
import { writeNote } from './output.js';

/** A line, the end of the input, or Ctrl-C at the prompt (on a line with text or an empty one). */
export type LineEvent = { kind: 'line'; text: string } | { kind: 'end' } | { kind: 'interrupt'; hadText: boolean };

/** How line ends and tabs of a pasted text are shown while it is edited; they are what they were when it is read. */
const shown: readonly (readonly [text: string, symbol: string])[] = [
  ['\n', '\u240a'],
  ['\t', '\u2409'],
];

const bracketedPaste = { on: '\x1b[?2004h', off: '\x1b[?2004l' };

/** The part of readline that receives keys. It is replaced, as Node's own REPL does. */
interface KeyReceiver {
  _ttyWrite(text: string | undefined, key: Key | undefined): void;
}

/** The options of {@link LineReader.open}. */
export interface LineReaderOptions {
  /** The file that keeps lines for later chats. Without it lines are forgotten. */
  history?: LineHistory | undefined;
  /** Lists the ways in which the Tab key can complete a line. */
  complete?: (line: string) => string[];
}

/**
 * Reads lines from standard input. On a terminal lines can be edited, earlier lines are on the up and down keys, and
 * Ctrl-C is a key: one that is typed between two calls of {@link read} waits for the next. During a {@link pause} the
 * terminal works as usual.
 *
 * A pasted text becomes part of the line as a whole, with symbols for its line ends.
 */
export class LineReader {
  /** Whether someone types, rather than a file or a pipe. */
  readonly isInteractive: boolean = process.stdin.isTTY === true;
  readonly #lines: Interface;
  readonly #output: NodeJS.WriteStream;
  readonly #waiting: LineEvent[] = [];
  #take: ((event: LineEvent) => void) | null = null;

  static async open({ history, complete = () => [] }: LineReaderOptions = {}): Promise<LineReader> {
    const own = process.stdin.isTTY === true ? history : undefined;
    return new LineReader(own, (await own?.read()) ?? [], complete);
  }

  private constructor(history: LineHistory | undefined, lines: string[], complete: (line: string) => string[]) {
    const output = process.stdout.isTTY ? process.stdout : process.stderr;
    this.#lines = createInterface({
      input: process.stdin,
      ...(this.isInteractive && { output, terminal: process.env.TERM !== 'dumb' && output.isTTY === true }),
      history: lines,
      completer: (line: string) => [complete(line), line],
      historySize: historyLength,
      removeHistoryDuplicates: true,
      crlfDelay: Number.POSITIVE_INFINITY,
    });
    this.#lines.on('line', (text) => {
      history?.add(text);
      // The symbols stand for line ends only in lines that were edited.
      const original = shown.reduce((line, [was, symbol]) => line.replaceAll(symbol, was), text);
      this.#give({ kind: 'line', text: this.isInteractive ? original : text });
    });
    this.#lines.on('close', () => this.#give({ kind: 'end' }));
    this.#lines.on('SIGINT', () => this.#onInterrupt());
    this.#output = output;
    if (!this.isInteractive || !this.#lines.terminal) return;
    this.#receivePastes();
    this.#lines.on('SIGTSTP', () => {
      this.#giveTerminalBack();
      process.kill(process.pid, 'SIGTSTP');
    });
    process.on('SIGCONT', this.#onContinue);
  }

  /** The next line. The prompt is shown to people only. After the end, every read gives the end. */
  async read(prompt: string): Promise<LineEvent> {
    const waiting = this.#waiting[0];
    if (waiting !== undefined) {
      if (waiting.kind !== 'end') this.#waiting.shift();
      return waiting;
    }
    if (this.isInteractive) {
      this.#lines.setPrompt(prompt);
      this.#takeTerminal();
      this.#lines.prompt();
    }
    const event = await new Promise<LineEvent>((resolve) => {
      this.#take = resolve;
    });
    if (event.kind === 'end') this.#waiting.push(event);
    return event;
  }

  /** Stops reading until the result is disposed. On a terminal Ctrl-C is a signal meanwhile, so handle it before. */
  pause(): Disposable {
    if (this.isInteractive) this.#lines.pause();
    this.#giveTerminalBack();
    return { [Symbol.dispose]: () => this.#takeTerminal() };
  }

  close(): void {
    process.off('SIGCONT', this.#onContinue);
    this.#giveTerminalBack();
    this.#lines.close();
  }

  #takeTerminal(): void {
    if (!this.isInteractive || !this.#lines.terminal) return;
    process.stdin.setRawMode(true);
    this.#output.write(bracketedPaste.on);
  }

  #giveTerminalBack(): void {
    if (!this.isInteractive || !this.#lines.terminal) return;
    process.stdin.setRawMode(false);
    this.#output.write(bracketedPaste.off);
  }

  /**
   * Shows the line that is being typed again after Ctrl-Z and `fg`, because the shell has used the terminal meanwhile.
   */
  readonly #onContinue = () => {
    if (this.#take === null) return;
    this.#takeTerminal();
    this.#lines.prompt(true);
  };

  /** Takes what comes between the marks of a paste as one text, in which no character is a key. */
  #receivePastes(): void {
    const receiver = this.#lines as unknown as KeyReceiver;
    const receive = receiver._ttyWrite.bind(receiver);
    let pasted: string[] | null = null;
    receiver._ttyWrite = (text, key) => {
      if (key?.name === 'paste-start') {
        pasted = [];
      } else if (pasted === null) {
        receive(text, key);
      } else if (key?.name === 'paste-end') {
        const whole = pasted.join('').replaceAll(/\r\n?/g, '\n');
        pasted = null;
        const line = shown.reduce((rest, [was, symbol]) => rest.replaceAll(was, symbol), whole);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal obeys them
        receive(line.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ''), {});
      } else {
        pasted.push(text ?? '');
      }
    };
  }

  #onInterrupt(): void {
    const hadText = this.#lines.line !== '';
    // Deletes the line: moves to its end, then deletes back to its start.
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

import type { Progress } from '../types.js';
import { bytesText, groupedText } from './figures.js';
import { fitting, widthOf } from './text-width.js';

const widestBar = 30;
const narrowestBar = 5;
const millisecondsBetweenDraws = 50;

/**
 * A bar of at most so many columns: a line longer than the terminal would wrap, and could not be drawn over. The percentage
 * is always there; what gives way is the bar, then the title, then what the whole is.
 */
export function barLine(title: string, fraction: number, whole: string, columns: number): string {
  const percent = `${Math.floor(fraction * 100)}%`;
  const rest = (bar: number, end: string) => columns - bar - widthOf(end) - ' [] '.length;
  const full = `${percent} of ${whole}`;
  const end = rest(narrowestBar, full) >= 8 ? full : percent;
  const width = Math.max(narrowestBar, Math.min(widestBar, rest(0, end) - widthOf(title)));
  const done = Math.round(fraction * width);
  const name = fitting(title, Math.max(0, rest(width, end)));
  return fitting(`${name} [${'#'.repeat(done)}${'.'.repeat(width - done)}] ${end}`, columns);
}

/**
 * One line on stderr that shows how far something long is, gone when it is done. Draws nothing where stderr is no terminal.
 *
 * @example
 * using bar = new ProgressBar('loading tiny');
 * await loadModel(folder, { onProgress: (progress) => bar.show(progress) });
 */
export class ProgressBar {
  readonly #title: string;
  readonly #isShown = process.stderr.isTTY === true && process.env.TERM !== 'dumb';
  #lastDraw = Number.NEGATIVE_INFINITY;
  #isDrawn = false;

  constructor(title: string) {
    this.#title = title;
  }

  show({ fraction, totalBytes }: Progress): void {
    this.showPart(fraction, bytesText(totalBytes));
  }

  /** `fraction` of `whole` is done. */
  showPart(fraction: number, whole: string): void {
    const now = performance.now();
    if (!this.#isShown || (fraction < 1 && now - this.#lastDraw < millisecondsBetweenDraws)) return;
    this.#lastDraw = now;
    this.#isDrawn = true;
    process.stderr.write(`\r${barLine(this.#title, fraction, whole, (process.stderr.columns || 80) - 1)}\x1b[K`);
  }

  /** Tokens of a prompt that are read, of all; nothing for a prompt of one step. */
  showPrompt(done: number, total: number): void {
    if (done > 0 && done < total) this.showPart(done / total, `${groupedText(total)} tokens`);
    else this.clear();
  }

  /** Takes the line away again, before something else is written. */
  clear(): void {
    if (this.#isDrawn) process.stderr.write('\r\x1b[K');
    this.#isDrawn = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

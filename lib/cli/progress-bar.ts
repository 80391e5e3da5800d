import type { Progress } from '../types.js';
import { bytesText, groupedText } from './figures.js';
import { fitting, widthOf } from './text-width.js';

const widestBar = 30;
const narrowestBar = 5;
const millisecondsBetweenDraws = 50;

/**
 * A progress bar of at most `columns` columns, because a line that wraps cannot be drawn over. If there is no room,
 * first the bar, then the title, then `whole` gives way. The percentage always stays.
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
 * Shows the progress of long work in one line on stderr, and removes it at the end. Draws nothing if stderr is no
 * terminal.
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

  /** Shows that `fraction` of `whole` is done. */
  showPart(fraction: number, whole: string): void {
    const now = performance.now();
    if (!this.#isShown || (fraction < 1 && now - this.#lastDraw < millisecondsBetweenDraws)) return;
    this.#lastDraw = now;
    this.#isDrawn = true;
    process.stderr.write(`\r${barLine(this.#title, fraction, whole, (process.stderr.columns || 80) - 1)}\x1b[K`);
  }

  /** Shows how many of a prompt's tokens are read. Shows nothing for a prompt of one step. */
  showPrompt(done: number, total: number): void {
    if (done > 0 && done < total) this.showPart(done / total, `${groupedText(total)} tokens`);
    else this.clear();
  }

  /** Removes the line before something else is written. */
  clear(): void {
    if (this.#isDrawn) process.stderr.write('\r\x1b[K');
    this.#isDrawn = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

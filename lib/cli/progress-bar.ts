import type { Progress } from '../types.js';
import { bytesText } from './figures.js';

const barWidth = 30;
const millisecondsBetweenDraws = 50;

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
    const full = Math.round(fraction * barWidth);
    const bar = '#'.repeat(full) + '.'.repeat(barWidth - full);
    const line = `${this.#title} [${bar}] ${Math.floor(fraction * 100)}% of ${whole}`;
    // A line longer than the terminal would wrap, and could not be drawn over.
    process.stderr.write(`\r${line.slice(0, (process.stderr.columns || 80) - 1)}\x1b[K`);
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

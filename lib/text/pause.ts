import { setImmediate } from 'node:timers/promises';

/** How long a piece of work may hold the event loop before others have a turn (milliseconds). */
const turnMs = 5;

/**
 * Lets others have a turn during long work on the event loop, and sees whether it is still wanted.
 *
 * @example
 * const pause = new Pause(signal);
 * for (const part of parts) {
 *   work(part); // a millisecond or so
 *   if (pause.isDue) await pause.take();
 * }
 */
export class Pause {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  get isDue(): boolean {
    return performance.now() - this.#last > turnMs;
  }

  /** Throws the signal's reason if it is aborted. */
  async take(): Promise<void> {
    await setImmediate();
    this.#signal?.throwIfAborted();
    this.#last = performance.now();
  }
}

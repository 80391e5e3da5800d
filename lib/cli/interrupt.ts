import { exitCodes, Interruption } from './exit.js';

/**
 * Handles Ctrl-C (SIGINT) and SIGTERM during work: the first signal asks the work to stop, the second quits at once.
 *
 * Listens until it is disposed.
 */
export class Interrupt {
  readonly #controller = new AbortController();
  readonly #onInterrupt = () => this.#stop(exitCodes.interrupted);
  readonly #onTerminate = () => this.#stop(exitCodes.terminated);
  #exitCode: number | null = null;

  constructor() {
    process.on('SIGINT', this.#onInterrupt);
    process.on('SIGTERM', this.#onTerminate);
  }

  /** Aborted by the first signal, with an {@link Interruption} as its reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit code of the signal. Null before a signal. */
  get exitCode(): number | null {
    return this.#exitCode;
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#onInterrupt);
    process.off('SIGTERM', this.#onTerminate);
  }

  #stop(exitCode: number): void {
    if (this.#exitCode !== null) process.exit(exitCode);
    this.#exitCode = exitCode;
    this.#controller.abort(new Interruption(exitCode));
  }
}

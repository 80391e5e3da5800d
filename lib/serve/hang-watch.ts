/** Notices an engine that no longer moves. */
import type { ServedModels } from './served-models.js';

/** Milliseconds between two looks. */
const lookMs = 1000;

/** Looks from time to time whether each model that has work goes on with it. */
export class HangWatch {
  readonly #models: ServedModels;
  readonly #timer: NodeJS.Timeout;
  /** The layers that each model had run when they were last seen to grow, and when that was. */
  readonly #seen = new Map<string, { layers: number; at: number }>();

  constructor(models: ServedModels) {
    this.#models = models;
    this.#timer = setInterval(() => this.#look(), lookMs);
    this.#timer.unref();
  }

  /** Stops looking. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** The first name of a model that has work and has run no layer for `ms`. Undefined if all go on. */
  hanging(ms: number): string | undefined {
    const now = performance.now();
    return [...this.#seen].find(([, { at }]) => now - at > ms)?.[0];
  }

  #look(): void {
    for (const { names, loaded } of this.#models.all) {
      const name = names[0]!;
      const stats = loaded?.stats();
      const isIdle = stats === undefined || stats.running + stats.waiting + stats.parked === 0;
      if (isIdle) this.#seen.delete(name);
      else if (this.#seen.get(name)?.layers !== stats.layers)
        this.#seen.set(name, { layers: stats.layers, at: performance.now() });
    }
  }
}

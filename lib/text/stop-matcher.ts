import { KexaError } from '../errors.js';

/**
 * Finds stop texts in a text that comes in pieces.
 *
 * The text ends at the stop that is completed first; of two completed by the same character, the one that began
 * earlier. That is what a reader of single characters would do, so it does not matter how the text is cut up.
 * Characters that may belong to a stop are held back until that is decided.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  #pending = '';
  #stopped = false;
  #matched: string | undefined;

  constructor(stops: readonly string[]) {
    for (const [index, stop] of stops.entries())
      if (typeof stop !== 'string' || stop === '')
        throw new KexaError(
          'KEXA_INVALID_ARGUMENT',
          `stop[${index}]: wanted a string of at least one character, found ${JSON.stringify(stop) ?? typeof stop}`,
        );
    this.#stops = [...stops];
  }

  /** The stop text that was found. */
  get matched(): string | undefined {
    return this.#matched;
  }

  /** Takes a text. Gives the text that is certainly before any stop. After a stop all text is dropped. */
  push(text: string): { text: string; stopped: boolean } {
    if (this.#stopped) return { text: '', stopped: true };
    const seen = this.#pending + text;
    let start = -1;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const at = seen.indexOf(stop);
      if (at < 0) continue;
      const stopEnd = at + stop.length;
      if (stopEnd > end || (stopEnd === end && at >= start)) continue;
      [start, end] = [at, stopEnd];
      this.#matched = stop;
    }
    if (start >= 0) {
      this.#stopped = true;
      this.#pending = '';
      return { text: seen.slice(0, start), stopped: true };
    }
    const safe = seen.length - partialSuffix(seen, this.#stops);
    this.#pending = seen.slice(safe);
    return { text: seen.slice(0, safe), stopped: false };
  }

  /** Returns the text that was held back, when no more text comes. */
  flush(): string {
    const rest = this.#pending;
    this.#pending = '';
    return rest;
  }
}

/** The length of the longest end of `text` with which one of `patterns` begins, without being all of it. */
export function partialSuffix(text: string, patterns: readonly string[]): number {
  let longest = 0;
  for (const pattern of patterns) {
    for (let length = Math.min(pattern.length - 1, text.length); length > longest; length--) {
      if (!text.endsWith(pattern.slice(0, length))) continue;
      longest = length;
      break;
    }
  }
  return longest;
}

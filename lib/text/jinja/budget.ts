import { TemplateError } from './failure.js';

/** The most steps of one rendering; see {@link Budget}. */
export const maxSteps: number = 20_000_000;

/**
 * Counts a rendering's work, so that no template runs for ever. A step is an expression, a statement, an item that
 * is gone through, or 256 characters of a text that is made or looked at.
 */
export class Budget {
  #left = maxSteps;

  /** @throws TemplateError when all is used */
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new TemplateError(`it takes more than ${maxSteps} steps`);
  }

  spendText(length: number): void {
    this.spend(1 + Math.floor(length / 256));
  }
}

/** One constrained answer inside the worker. */
import type { GrammarMessage } from '../../native.js';
import type { GrammarMatcher } from './grammar.js';

type Ask = Extract<GrammarMessage, { kind: 'ask' }>;

/** The answer to a question: drafts that the grammar allows, and masks [1 + drafts, vocab / 32]. */
export interface Allowed {
  drafts: Uint32Array;
  masks: Uint32Array;
}

/** Follows an answer's tokens through its grammar. */
export class ConstrainedRun {
  readonly #matcher: GrammarMatcher;
  readonly #ends: ReadonlySet<number>;
  readonly #banned: readonly number[];

  constructor(matcher: GrammarMatcher, ends: ReadonlySet<number>, banned: readonly number[]) {
    this.#matcher = matcher;
    this.#ends = ends;
    this.#banned = banned;
  }

  /** Takes tokens of the answer. Throws if the grammar does not allow them. */
  take(tokens: Uint32Array): void {
    for (const token of tokens)
      if (!this.#matcher.accept(token)) throw new Error(`the grammar does not allow the token ${token} of the answer`);
  }

  /**
   * Takes a question's tokens and answers it. Drafts end at the first one that the grammar refuses. Where the grammar
   * allows a single token, that token goes on from there.
   */
  async answer({ taken, drafts: offered, mostDrafts, forces }: Ask): Promise<Allowed> {
    this.take(taken);
    const drafts: number[] = [];
    const masks = [await this.#mask()];
    let isOffered = true;
    while (drafts.length < mostDrafts) {
      const mask = masks.at(-1)!;
      let next = isOffered ? offered[drafts.length] : undefined;
      if (next === undefined || !allows(mask, next) || this.#ends.has(next)) {
        isOffered = false;
        next = forces ? onlyToken(mask) : undefined;
      }
      // Nothing follows an end token, so there would be no mask after it.
      if (next === undefined || this.#ends.has(next) || !this.#matcher.accept(next)) break;
      drafts.push(next);
      masks.push(await this.#mask());
    }
    this.#matcher.rollBack(drafts.length);
    return { drafts: Uint32Array.from(drafts), masks: joined(masks) };
  }

  dispose(): void {
    this.#matcher.dispose();
  }

  async #mask(): Promise<Uint32Array> {
    const mask = await this.#matcher.mask();
    for (const token of this.#banned) mask[token >>> 5]! &= ~(1 << (token & 31));
    return mask;
  }
}

function allows(mask: Uint32Array, token: number): boolean {
  return ((mask[token >>> 5]! >>> (token & 31)) & 1) === 1;
}

/** The token if the mask has one bit. */
function onlyToken(mask: Uint32Array): number | undefined {
  let found: number | undefined;
  for (let i = 0; i < mask.length; i++) {
    const word = mask[i]!;
    if (word === 0) continue;
    if (found !== undefined || (word & (word - 1)) !== 0) return undefined;
    found = 32 * i + (31 - Math.clz32(word));
  }
  return found;
}

function joined(masks: readonly Uint32Array[]): Uint32Array {
  const words = masks[0]!.length;
  const all = new Uint32Array(words * masks.length);
  for (const [i, mask] of masks.entries()) all.set(mask, i * words);
  return all;
}

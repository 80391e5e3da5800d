/** Random numbers that are the same for the same seed, and names that are never the same. */
import { randomBytes } from 'node:crypto';

/**
 * A generator of numbers in [0, 1): Mulberry32, which passes gjrand's tests and repeats after 2^32 numbers. Not for
 * secrets.
 *
 * @param seed an integer, of which the low 32 bits count
 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/**
 * A name that does not repeat: the prefix and `length` random letters and digits.
 *
 * @example
 * randomId('call_', 24) // the prefix, then 24 letters and digits
 */
export function randomId(prefix: string, length: number): string {
  let id = prefix;
  while (id.length < prefix.length + length)
    // Bytes above the last multiple of 62 are passed over, so that all letters are equally likely.
    for (const byte of randomBytes(length))
      if (byte < 248 && id.length < prefix.length + length) id += letters[byte % 62];
  return id;
}

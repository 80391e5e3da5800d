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

/**
 * A name that nothing else has: the prefix and 24 random letters and digits.
 *
 * @example
 * randomId('call_') // the prefix, then 24 letters and digits
 */
export function randomId(prefix: string): string {
  return prefix + Array.from(randomBytes(24), (byte) => alphabet[byte % alphabet.length]).join('');
}

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Parses option values that are numbers. Each parser's error tells which values are allowed. */
import { InvalidArgumentError } from 'commander';

interface NumberRange {
  least: number;
  most: number;
  /** Whether `least` itself is out of range. */
  isAbove?: boolean | undefined;
}

/** A parser for a number within a range. */
export function number({ least, most, isAbove = false }: NumberRange): (text: string) => number {
  const wanted = isAbove ? `a number above ${least}, at most ${most}` : `a number from ${least} to ${most}`;
  return (text) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most && !(isAbove && value === least)) return value;
    throw new InvalidArgumentError(`It takes ${wanted}.`);
  };
}

/** A parser for an integer within a range. `also` adds a note about special values to the error. */
export function integer(least: number, most: number, also = ''): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It takes an integer from ${least} to ${most}${also}.`);
  };
}

/** A parser for a count of tokens: `8192`, `8k` (8000) or `8K` (8192), also `1m` and `1M`. */
export function tokenCount(most: number): (text: string) => number {
  const factors: Readonly<Record<string, number>> = { '': 1, k: 1000, K: 1024, m: 1e6, M: 2 ** 20 };
  return (text) => {
    const [, digits, suffix] = /^(\d+)([kKmM]?)$/.exec(text) ?? [];
    const value = digits === undefined ? Number.NaN : Number(digits) * factors[suffix!]!;
    if (value >= 1 && value <= most) return value;
    throw new InvalidArgumentError(`It takes an integer from 1 to ${most}; 8k is 8000, 8K is 8192.`);
  };
}

/** A parser for one of `words`, or else for whatever `parse` reads. */
export function wordOr<T>(words: readonly string[], parse: (text: string) => T): (text: string) => T | string {
  return (text) => {
    if (words.includes(text)) return text;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      throw new InvalidArgumentError(`${error.message.replace(/\.$/, '')}, or ${words.join(' or ')}.`);
    }
  };
}

const binaryUnits = { kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 };

/** A parser for a size in bytes: `80GiB`, `24GB` or a number of bytes. */
export function byteCount(text: string): number {
  return bytesIn(text, { ...binaryUnits, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 });
}

/** A parser for the size of a memory as it is sold: a card of `80GB` has `80GiB`. */
export function memorySize(text: string): number {
  const { kib: kb, mib: mb, gib: gb, tib: tb } = binaryUnits;
  return bytesIn(text, { ...binaryUnits, kb, mb, gb, tb });
}

function bytesIn(text: string, units: Readonly<Record<string, number>>): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? [];
  const factor = unit === '' ? 1 : (units[unit?.toLowerCase() ?? ''] ?? Number.NaN);
  const value = digits === undefined ? Number.NaN : Number(digits) * factor;
  if (value >= 1) return Math.floor(value);
  throw new InvalidArgumentError('It takes a size in bytes, as in 80GiB or 24GB.');
}

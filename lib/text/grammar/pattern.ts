/** Reads patterns (regular expressions) as languages: which texts they match as a whole. */
import { KexaError } from '../../errors.js';

/** Ranges of code points, ascending and apart from each other. Both ends belong to a range. */
export type CodeRanges = readonly (readonly [first: number, last: number])[];

/** A set of texts. */
export type Language =
  /** One character of the ranges. */
  | { kind: 'set'; ranges: CodeRanges }
  | { kind: 'sequence'; parts: readonly Language[] }
  | { kind: 'or'; parts: readonly Language[] }
  | { kind: 'repeat'; part: Language; least: number; most: number };

/** The language that has only the empty text. */
export const emptyText: Language = { kind: 'sequence', parts: [] };
/** The most that a count in a pattern may be. Larger ones take too long to compile. */
const mostCount = 64;
/** The most groups that may lie in each other. Readers of a pattern call themselves for each of them. */
const mostDepth = 100;

const lastCode = 0x10ffff;
const digits: CodeRanges = [[0x30, 0x39]];
const words: CodeRanges = [[0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]; // biome-ignore format: one line
const spaces: CodeRanges = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const lineEnds: CodeRanges = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
/** Halves of surrogate pairs, which are no characters. */
const surrogates: CodeRanges = [[0xd800, 0xdfff]];
/** Every character. */
const anyCharacter: Language = { kind: 'set', ranges: complement([]) };
const classes: Readonly<Record<string, CodeRanges>> = { d: digits, w: words, s: spaces };
const simpleCounts: Readonly<Record<string, readonly [least: number, most: number]>> = {
  '*': [0, Number.POSITIVE_INFINITY],
  '+': [1, Number.POSITIVE_INFINITY],
  '?': [0, 1],
};
const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, '0': 0 };

/** All characters that are not in the ranges, which need no order. */
export function complement(ranges: CodeRanges): CodeRanges {
  const found: [number, number][] = [];
  let next = 0;
  for (const [first, last] of [...ranges, ...surrogates].sort((a, b) => a[0] - b[0])) {
    if (first > next) found.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= lastCode) found.push([next, lastCode]);
  return found;
}

/** The characters that are in both. */
export function intersection(a: CodeRanges, b: CodeRanges): CodeRanges {
  return complement([...complement(a), ...complement(b)]);
}

/** One of several languages, or the only one. */
export function either(parts: readonly Language[]): Language {
  return parts.length === 1 ? parts[0]! : { kind: 'or', parts };
}

/** The language of one text. */
export function textOf(text: string): Language {
  return { kind: 'sequence', parts: Array.from(text, (character) => codeSet(character.codePointAt(0)!)) };
}

function codeSet(code: number): Language {
  return { kind: 'set', ranges: [[code, code]] };
}

/**
 * Reads a pattern as JavaScript does with the flag `u`. Where `isWhole` is false, a text need only have a match in it:
 * any text may stand before a pattern without `^`, and behind one without `$`.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT for a wrong pattern, KEXA_UNSUPPORTED for what no grammar can say. `name` is
 *   the place of the pattern, for messages.
 */
export function readPattern(pattern: string, name: string, isWhole: boolean): Language {
  try {
    new RegExp(pattern, 'u');
  } catch (cause) {
    throw new KexaError('KEXA_INVALID_ARGUMENT', `${name}: ${(cause as Error).message}`, { cause });
  }
  return new PatternReader(pattern, name).read(isWhole);
}

class PatternReader {
  readonly #codes: readonly string[];
  readonly #name: string;
  #at = 0;
  /** The groups around the present place. */
  #depth = 0;

  constructor(pattern: string, name: string) {
    this.#codes = Array.from(pattern);
    this.#name = name;
  }

  read(isWhole: boolean): Language {
    const anything: Language = { kind: 'repeat', part: anyCharacter, least: 0, most: Number.POSITIVE_INFINITY };
    const branches: Language[] = [];
    do {
      const isFromStart = this.#takes('^');
      const parts = this.#readSequence();
      const isToEnd = this.#takes('$');
      if (this.#at < this.#codes.length && this.#codes[this.#at] !== '|') this.#refuse('an anchor inside the pattern');
      if (!isWhole && !isFromStart) parts.unshift(anything);
      if (!isWhole && !isToEnd) parts.push(anything);
      branches.push({ kind: 'sequence', parts });
    } while (this.#takes('|'));
    return either(branches);
  }

  #refuse(what: string): never {
    throw new KexaError('KEXA_UNSUPPORTED', `${this.#name}: wanted a pattern that a grammar can say, found ${what}`);
  }

  #takes(character: string): boolean {
    if (this.#codes[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  /** Reads up to the end of a branch, or to an anchor. */
  #readSequence(): Language[] {
    const parts: Language[] = [];
    for (;;) {
      const next = this.#codes[this.#at];
      if (next === undefined || next === '|' || next === ')' || next === '^' || next === '$') return parts;
      parts.push(this.#readCount(this.#readAtom()));
    }
  }

  #readAtom(): Language {
    const next = this.#codes[this.#at++]!;
    if (next === '(') return this.#readGroup();
    if (next === '[') return this.#set(this.#readClass());
    if (next === '.') return this.#set(complement(lineEnds));
    if (next === '\\') return this.#set(this.#readEscape());
    return codeSet(next.codePointAt(0)!);
  }

  #set(ranges: CodeRanges): Language {
    const characters = complement(complement(ranges));
    if (characters.length === 0) this.#refuse('a set of no character');
    return { kind: 'set', ranges: characters };
  }

  #readGroup(): Language {
    if (++this.#depth > mostDepth) this.#refuse(`more than ${mostDepth} groups in each other`);
    if (this.#takes('?')) {
      const kind = this.#codes[this.#at++]!;
      if (kind === '<' && !'=!'.includes(this.#codes[this.#at]!)) while (!this.#takes('>')) this.#at++;
      else if (kind !== ':') this.#refuse('a lookaround or a group of flags');
    }
    const branches: Language[] = [];
    do branches.push({ kind: 'sequence', parts: this.#readSequence() });
    while (this.#takes('|'));
    if (!this.#takes(')')) this.#refuse('an anchor inside a group');
    this.#depth--;
    return either(branches);
  }

  #readCount(part: Language): Language {
    const simple = simpleCounts[this.#codes[this.#at] ?? ''];
    let [least, most]: readonly [number, number] = simple ?? [1, 1];
    if (simple !== undefined) this.#at++;
    else if (this.#takes('{')) {
      const count = /^(\d+)(,?)(\d*)\}/.exec(this.#codes.slice(this.#at, this.#at + 32).join(''))!;
      this.#at += count[0].length;
      least = Number(count[1]);
      most = count[3] !== '' ? Number(count[3]) : count[2] !== '' ? Number.POSITIVE_INFINITY : least;
      if (least > mostCount || (most > mostCount && most !== Number.POSITIVE_INFINITY))
        this.#refuse(`a count above ${mostCount}`);
    } else return part;
    this.#takes('?'); // Whether a match is the shortest does not matter to which texts there are.
    return { kind: 'repeat', part, least, most };
  }

  #readClass(): CodeRanges {
    const isNegated = this.#takes('^');
    const ranges: (readonly [number, number])[] = [];
    while (!this.#takes(']')) {
      const first = this.#readMember();
      if (
        first.length !== 1 ||
        first[0]![0] !== first[0]![1] ||
        this.#codes[this.#at] !== '-' ||
        this.#codes[this.#at + 1] === ']'
      ) {
        ranges.push(...first);
        continue;
      }
      this.#at++;
      ranges.push([first[0]![0], this.#readMember()[0]![1]]);
    }
    return isNegated ? complement(ranges) : ranges;
  }

  #readMember(): CodeRanges {
    const next = this.#codes[this.#at++]!;
    if (next === '\\' && this.#takes('b')) return [[8, 8]];
    if (next === '\\') return this.#readEscape();
    const code = next.codePointAt(0)!;
    return [[code, code]];
  }

  #readEscape(): CodeRanges {
    const next = this.#codes[this.#at++]!;
    const named = classes[next.toLowerCase()];
    if (named !== undefined && next in classes) return named;
    if (named !== undefined) return complement(named);
    let code = controls[next];
    if (code === undefined && /[A-Za-z1-9]/.test(next)) code = this.#readNumber(next);
    code ??= next.codePointAt(0)!;
    return [[code, code]];
  }

  /** Reads `\xHH`, `\uHHHH` (two for a pair) or `\u{H}`. */
  #readNumber(kind: string): number {
    const rest = this.#codes.slice(this.#at, this.#at + 12).join('');
    const pair = /^u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})/i.exec(kind + rest);
    const single = /^(?:x([0-9a-f]{2})|u([0-9a-f]{4})|u\{([0-9a-f]+)\})/i.exec(kind + rest);
    const found = pair ?? single;
    if (found === null) return this.#refuse(`\\${kind}`);
    this.#at += found[0].length - 1;
    if (pair === null) return Number.parseInt(single!.slice(1).find((digits) => digits !== undefined)!, 16);
    const [high, low] = pair.slice(1).map((half) => Number.parseInt(half, 16));
    return 0x10000 + ((high! - 0xd800) << 10) + (low! - 0xdc00);
  }
}

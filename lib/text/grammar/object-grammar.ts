/** The texts of JSON objects, as grammars. */
import { bareCharacters, commaList, repeat } from './ebnf.js';
import { type CodeRanges, complement, either, emptyText, intersection, type Language } from './pattern.js';

interface ObjectParts {
  /** The named properties in order, each with its key. */
  members: readonly { expression: string; isRequired: boolean }[];
  /** Any other property with its key. Null if there may be none. */
  other: string | null;
  /** How many other properties there may be. */
  least: number;
  most: number;
  /** Makes a rule of an expression, and gives its name. */
  rule(body: string): string;
}

/** The expression of an object. Each property adds a rule, so that the grammar does not grow with their combinations. */
export function objectBody({ members, other, least, most, rule }: ObjectParts): string {
  // `tail` is what may follow once a property was written, and `start` what may stand there before any was.
  let tail = other === null ? '""' : rule(repeat(`"," ws ${other}`, 0, Number.POSITIVE_INFINITY));
  let start = other === null ? '""' : commaList(other, least, most);
  for (const { expression, isRequired } of members.toReversed()) {
    const first = `${expression} ${tail} ws`;
    start = isRequired ? first : rule(`${first} | ${start}`);
    tail = rule(isRequired ? `"," ws ${expression} ${tail}` : `("," ws ${expression})? ${tail}`);
  }
  return `"{" ws ${start} "}"`;
}

/** The keys that none of `names` is, without escapes. */
export function otherKeys(names: readonly string[]): Language {
  const first = new Map<string, string[]>();
  for (const name of names) {
    const [character] = name;
    if (character !== undefined) first.set(character, [...(first.get(character) ?? []), name.slice(character.length)]);
  }
  const branches: Language[] = [...first].map(([character, rests]) => ({
    kind: 'sequence',
    parts: [{ kind: 'set', ranges: [rangeOf(character)] }, otherKeys(rests)],
  }));
  const taken = [...first.keys()].map(rangeOf);
  branches.push({
    kind: 'sequence',
    parts: [
      { kind: 'set', ranges: intersection(bareCharacters, complement(taken)) },
      {
        kind: 'repeat',
        part: { kind: 'set', ranges: bareCharacters },
        least: 0,
        most: Number.POSITIVE_INFINITY,
      },
    ],
  });
  return names.includes('') ? either(branches) : either([emptyText, ...branches]);
}

function rangeOf(character: string): CodeRanges[number] {
  const code = character.codePointAt(0)!;
  return [code, code];
}

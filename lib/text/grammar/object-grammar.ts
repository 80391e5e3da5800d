/** The texts of JSON objects, as grammars. */
import { repeat } from './ebnf.js';
import { complement, either, emptyText, type Language } from './pattern.js';

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
  let start: string | null = '""';
  if (other !== null) {
    const all = `${other} ${repeat(`"," ws ${other}`, Math.max(0, least - 1), most - 1)} ws`;
    start = most === 0 ? '""' : least > 0 ? all : `(${all})?`;
  }
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
  const taken = [...first.keys()].map((character): [number, number] => [
    character.codePointAt(0)!,
    character.codePointAt(0)!,
  ]);
  const branches: Language[] = [...first].map(([character, rests]) => ({
    kind: 'sequence',
    parts: [{ kind: 'set', ranges: [[character.codePointAt(0)!, character.codePointAt(0)!]] }, otherKeys(rests)],
  }));
  const unescaped: [number, number][] = [
    [0, 0x1f],
    [0x22, 0x22],
    [0x5c, 0x5c],
  ];
  branches.push({
    kind: 'sequence',
    parts: [
      { kind: 'set', ranges: complement([...taken, ...unescaped]) },
      {
        kind: 'repeat',
        part: { kind: 'set', ranges: complement(unescaped) },
        least: 0,
        most: Number.POSITIVE_INFINITY,
      },
    ],
  });
  return names.includes('') ? either(branches) : either([emptyText, ...branches]);
}

/** Damage that knows the structure of what it damages: JSON, text, numbers in binary headers. */
import type { Random } from './random.js';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const mostDepth = 12;
const numbers = [
  0,
  1,
  -1,
  2,
  0.5,
  3,
  7,
  64,
  255,
  2 ** 16,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 53,
  1e39,
  -1e308,
  1e-308,
];
const words = [
  '',
  'a',
  '\0',
  '\u001b[2J',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'toString',
  '�',
  '표',
  'e\u0301',
  '\ud800',
];
/** Numbers at which counts, offsets and lengths of 64 bits go over. */
const edges = [
  0n,
  1n,
  7n,
  255n,
  2n ** 16n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 40n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** One to four changes somewhere in a value. */
export function damageJson(random: Random, value: Json): Json {
  let changed = value;
  for (let left = 1 + random.below(4); left > 0; left--) changed = changeSomewhere(random, changed, mostDepth);
  return changed;
}

function changeSomewhere(random: Random, value: Json, depth: number): Json {
  if (typeof value !== 'object' || value === null || depth === 0) return replaced(random, value);
  // The whole file is replaced only rarely, because all such files would be refused alike.
  if (random.chance(depth === mostDepth ? 0.02 : 0.15)) return replaced(random, value);
  if (Array.isArray(value)) {
    if (value.length === 0 || random.chance(0.2)) return changedList(random, value);
    const at = random.below(value.length);
    return value.with(at, changeSomewhere(random, value[at]!, depth - 1));
  }
  const keys = Object.keys(value);
  if (keys.length === 0 || random.chance(0.15)) return changedObject(random, value, keys);
  const key = random.pick(keys);
  return { ...value, [key]: changeSomewhere(random, value[key]!, depth - 1) };
}

function replaced(random: Random, value: Json): Json {
  if (typeof value === 'number' && random.chance(0.5))
    return random.pick([value + 1, value - 1, -value, value * 2, value / 2]);
  if (typeof value === 'string' && random.chance(0.5)) return damageText(random, value);
  return anyJson(random);
}

function anyJson(random: Random): Json {
  switch (random.below(8)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
    case 3:
      return random.pick(numbers);
    case 4:
      return random.pick(words);
    case 5:
      return random.pick(words).repeat(random.below(20_000));
    case 6:
      return random.chance(0.5) ? [] : new Array(random.below(300)).fill(random.pick(numbers));
    default: {
      let nested: Json = random.pick<Json>([[], {}]);
      for (let left = random.below(400); left > 0; left--) nested = random.chance(0.5) ? [nested] : { a: nested };
      return nested;
    }
  }
}

function changedList(random: Random, list: Json[]): Json[] {
  const at = random.below(list.length + 1);
  switch (random.below(4)) {
    case 0:
      return list.slice(0, at);
    case 1:
      return list.toSpliced(at, 1);
    case 2:
      return [...list, ...list].slice(0, 20_000);
    default:
      return list.toSpliced(at, 0, list[at] ?? anyJson(random));
  }
}

function changedObject(random: Random, from: { [key: string]: Json }, keys: string[]): Json {
  const entries = Object.entries(from);
  const at = random.below(Math.max(1, keys.length));
  switch (random.below(4)) {
    case 0:
      return Object.fromEntries(entries.toSpliced(at, 1));
    case 1:
      return Object.fromEntries([...entries, [random.pick(words), anyJson(random)]]);
    case 2:
      // Two fields change places.
      return keys.length < 2 ? {} : { ...from, [keys[at]!]: from[random.pick(keys)]! };
    default:
      return Object.fromEntries(entries.map(([key, value], i) => [i === at ? damageText(random, key) : key, value]));
  }
}

/** A few changes of a text: pieces cut out, doubled, or put elsewhere. */
export function damageText(random: Random, text: string): string {
  let changed = text;
  for (let left = 1 + random.below(3); left > 0; left--) {
    const from = random.below(changed.length + 1);
    const piece = changed.slice(from, from + random.below(24));
    const rest = changed.slice(0, from) + changed.slice(from + piece.length);
    const to = random.below(rest.length + 1);
    const put = random.pick([piece + piece, random.pick(words), '', piece.repeat(random.below(200))]);
    changed = random.chance(0.3) ? rest : rest.slice(0, to) + (random.chance(0.3) ? piece : put) + rest.slice(to);
  }
  return changed;
}

/** A few changes of bytes, most of them in the first `header`: edges of numbers, flipped bits, cut or doubled ends. */
export function damageBytes(random: Random, bytes: Buffer, header: number): Buffer {
  let changed = Buffer.from(bytes);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const size = changed.length;
    if (size < 9) return changed;
    const at = random.below(random.chance(0.9) ? Math.min(header, size - 8) : size - 8);
    switch (random.below(8)) {
      case 0:
        changed = changed.subarray(0, random.below(size));
        break;
      case 1:
        changed = Buffer.concat([changed, changed.subarray(at, at + random.below(4096))]);
        break;
      case 2:
      case 3:
        changed.writeBigUInt64LE(random.pick(edges), at);
        break;
      case 4:
      case 5:
        changed.writeUInt32LE(Number(random.pick(edges) & 0xffffffffn), at);
        break;
      default:
        changed[at] = changed[at]! ^ (1 << random.below(8));
    }
  }
  return changed;
}

/** Some numbers of 16 or 32 bits of a tensor's data become NaN, infinite, or whatever. */
export function damageWeights(random: Random, data: Buffer): Buffer {
  const changed = Buffer.from(data);
  for (let left = 1 + random.below(8); left > 0 && changed.length >= 4; left--) {
    const at = random.below(changed.length - 3) & ~1;
    changed.writeUInt32LE(
      random.pick([0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0, 0xffffffff, 0x7e007e00, 0x7c007c00]),
      at,
    );
  }
  return changed;
}

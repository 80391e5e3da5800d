import { type Origin, Text } from './text.js';
import { Dict, List, type Value } from './values.js';

/**
 * A value of JavaScript as a template sees it. Numbers become what JSON.stringify writes for them: integers where it
 * writes no point and no exponent. A bigint is an integer of any size. Undefined values are left out.
 *
 * @throws TypeError for a value that JSON cannot hold, or that contains itself
 */
export function fromJavaScript(value: unknown, origin: Origin): Value {
  return convert(value, origin, []);
}

function convert(value: unknown, origin: Origin, around: readonly object[]): Value {
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean' || typeof value === 'bigint') return value;
  if (typeof value === 'string') return new Text(value, origin);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) return null;
    return Number.isInteger(value) && Math.abs(value) < 1e21 ? BigInt(String(value)) : value;
  }
  if (typeof value !== 'object') throw new TypeError(`found a ${typeof value}`);
  if (around.includes(value)) throw new TypeError('the value contains itself');
  if (around.length > 400) throw new TypeError('the value is nested too deeply');
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') return convert(toJSON.call(value), origin, [...around, value]);
  const inside = [...around, value];
  if (Array.isArray(value))
    return new List(
      value.map((item) => convert(item, origin, inside)),
      origin,
    );
  const entries = Object.entries(value).filter(([, item]) => item !== undefined && typeof item !== 'function');
  return new Dict(
    entries.map(([key, item]) => [new Text(key, origin), convert(item, origin, inside)] as const),
    origin,
  );
}

const tokens =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON allows none in a string
  /[\t\n\r ]*(?:([{}[\],:])|("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*")|(-?(?:0|[1-9]\d*))(\.\d+)?([eE][-+]?\d+)?|(true|false|null))/y;

/**
 * Reads JSON as Python does: integers of any size exactly, and 1.0 as a float. Undefined if it is no JSON.
 */
export function parseJson(source: string, origin: Origin): Value | undefined {
  let at = 0;
  let depth = 0;
  class NotJson extends Error {}
  const next = (): RegExpExecArray => {
    tokens.lastIndex = at;
    const match = tokens.exec(source);
    if (!match) throw new NotJson();
    at = tokens.lastIndex;
    return match;
  };
  const isNext = (mark: string): boolean => {
    const before = at;
    if (next()[1] === mark) return true;
    at = before;
    return false;
  };
  const expect = (mark: string) => {
    if (next()[1] !== mark) throw new NotJson();
  };
  const readString = (): Text => {
    const [, , string] = next();
    if (string === undefined) throw new NotJson();
    return new Text(JSON.parse(string) as string, origin);
  };
  const read = (): Value => {
    if (++depth > 400) throw new NotJson();
    const before = at;
    const [, mark, string, integer, fraction, exponent, word] = next();
    let value: Value;
    if (mark === '{') {
      const entries: [Value, Value][] = [];
      for (let isFirst = true; !isNext('}'); isFirst = false) {
        if (!isFirst) expect(',');
        const key = readString();
        expect(':');
        entries.push([key, read()]);
      }
      value = new Dict(entries, origin);
    } else if (mark === '[') {
      const items: Value[] = [];
      for (let isFirst = true; !isNext(']'); isFirst = false) {
        if (!isFirst) expect(',');
        items.push(read());
      }
      value = new List(items, origin);
    } else if (string !== undefined) {
      at = before;
      value = readString();
    } else if (integer !== undefined) {
      value = fraction || exponent ? Number(integer + (fraction ?? '') + (exponent ?? '')) : BigInt(integer);
    } else if (word !== undefined) {
      value = word === 'null' ? null : word === 'true';
    } else {
      throw new NotJson();
    }
    depth--;
    return value;
  };
  try {
    const value = read();
    return /^[\t\n\r ]*$/.test(source.slice(at)) ? value : undefined;
  } catch (error) {
    if (error instanceof NotJson) return undefined;
    throw error;
  }
}

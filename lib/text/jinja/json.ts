import type { Budget } from './budget.js';
import { TemplateError } from './failure.js';
import { floatText } from './numbers.js';
import { type Origin, Text } from './text.js';
import { Dict, isNumeric, List, Tuple, typeName, type Value } from './values.js';

/** How {@link toJson} writes. */
export interface JsonStyle {
  ensureAscii: boolean;
  /** The indent of a level. Null writes one line. */
  indent: string | null;
  itemSeparator: string;
  keySeparator: string;
  sortKeys: boolean;
}

const maxDepth = 500;

/** Python's json.dumps. Brackets, commas and colons have the origin of their list or dict. */
export function toJson(value: Value, style: JsonStyle, budget: Budget): Text {
  const parts: Text[] = [];
  const write = (source: string, origin: Origin) => {
    if (source !== '') parts.push(new Text(source, origin));
  };
  const writeItems = (
    brackets: string,
    items: readonly Value[],
    origin: Origin,
    depth: number,
    writeItem: (item: Value, i: number) => void,
  ) => {
    const newline = style.indent === null ? '' : `\n${style.indent.repeat(depth + 1)}`;
    write(brackets[0]!, origin);
    items.forEach((item, i) => {
      write((i > 0 ? style.itemSeparator : '') + newline, origin);
      writeItem(item, i);
    });
    if (items.length > 0 && style.indent !== null) write(`\n${style.indent.repeat(depth)}`, origin);
    write(brackets[1]!, origin);
  };
  const writeValue = (one: Value, origin: Origin, depth: number): void => {
    budget.spend(1);
    if (depth > maxDepth) throw new TemplateError('tojson: the value is nested too deeply');
    if (one instanceof Text) {
      budget.spendText(one.length);
      parts.push(quoted(one, style.ensureAscii));
    } else if (one === null || isNumeric(one)) {
      write(scalar(one), origin);
    } else if (one instanceof List || one instanceof Tuple) {
      const inner = one instanceof List ? one.origin : origin;
      writeItems('[]', one.items, inner, depth, (item) => writeValue(item, inner, depth + 1));
    } else if (one instanceof Dict) {
      const entries = style.sortKeys ? sorted(one.entries()) : one.entries();
      const keys = entries.map(([key]) => key);
      writeItems('{}', keys, one.origin, depth, (key, i) => {
        parts.push(quoted(keyText(key, one.origin), style.ensureAscii));
        write(style.keySeparator, one.origin);
        writeValue(entries[i]![1], one.origin, depth + 1);
      });
    } else {
      throw new TemplateError(`Object of type ${typeName(one)} is not JSON serializable`);
    }
  };
  writeValue(value, 0, 0);
  return Text.join(parts);
}

function sorted(entries: [Value, Value][]): [Value, Value][] {
  if (!entries.every(([key]) => key instanceof Text)) {
    if (entries.length < 2) return entries;
    throw new TemplateError('tojson: sort_keys wants keys that are all strings');
  }
  const keyOf = ([key]: [Value, Value]) => (key as Text).value;
  const points = (source: string) => Array.from(source, (point) => point.codePointAt(0)!);
  return entries.sort((a, b) => {
    const [x, y] = [points(keyOf(a)), points(keyOf(b))];
    const at = x.findIndex((point, i) => point !== y[i]);
    if (at < 0) return x.length - y.length;
    return at >= y.length ? 1 : x[at]! - y[at]!;
  });
}

function scalar(value: null | boolean | bigint | number): string {
  if (value === null) return 'null';
  if (typeof value === 'number') {
    if (Number.isNaN(value)) return 'NaN';
    return Number.isFinite(value) ? floatText(value) : value > 0 ? 'Infinity' : '-Infinity';
  }
  return String(value);
}

function keyText(key: Value, origin: Origin): Text {
  if (key instanceof Text) return key;
  if (key === null || isNumeric(key)) return new Text(scalar(key), origin);
  throw new TemplateError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b',
};
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes control characters
const special = /["\\\x00-\x1f]/g;
const specialOrWide = /["\\]|[^ -~]/g;

function quoted(value: Text, ensureAscii: boolean): Text {
  const escaped = (unit: string) => shortEscapes[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const body = value.plain().map((part) => part.replace(ensureAscii ? specialOrWide : special, escaped));
  const runs = body.runs;
  const [first, last] = [runs[0]?.origin ?? value.origin ?? 0, runs.at(-1)?.origin ?? value.origin ?? 0];
  return Text.join([new Text('"', first), body, new Text('"', last)]);
}

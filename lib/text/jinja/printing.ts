import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { floatText } from './numbers.js';
import { empty, type Origin, Text } from './text.js';
import {
  Dict,
  List,
  Namespace,
  Range,
  Sequence,
  Tuple,
  text,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js';

/** Python's str(): what a template prints for a value. */
export function printed(value: Value): Text {
  if (value instanceof Text) return value;
  return value instanceof Undefined ? empty : represented(value);
}

/** Python's repr(): how a value looks inside of a list. */
export function represented(value: Value, depth = 0, origin: Origin = 0): Text {
  if (value === null) return new Text('None', origin);
  if (typeof value === 'boolean') return new Text(value ? 'True' : 'False', origin);
  if (typeof value === 'bigint') return new Text(value.toString(), origin);
  if (typeof value === 'number') return new Text(floatText(value), origin);
  if (value instanceof Text) {
    if (value.isSafe) return Text.join([text('Markup('), quoted(value), text(')')]);
    return quoted(value);
  }
  if (depth > 200) throw new TemplateError('it prints values that are nested too deeply');
  const around = value instanceof List || value instanceof Dict ? value.origin : origin;
  const inner = (one: Value) => represented(one, depth + 1, around);
  if (value instanceof List) return enclosed('[', value.items.map(inner), ']', value.origin);
  if (value instanceof Tuple) return enclosed('(', value.items.map(inner), value.items.length === 1 ? ',)' : ')', 0);
  if (value instanceof Dict) {
    const entries = value.entries().map(([key, one]) => {
      return Text.join([inner(key), new Text(': ', value.origin), inner(one)]);
    });
    return enclosed('{', entries, '}', value.origin);
  }
  if (value instanceof View) return enclosed(`dict_${value.kind}([`, value.items.map(inner), '])', 0);
  if (value instanceof Range) {
    const step = value.step === 1n ? '' : `, ${value.step}`;
    return text(`range(${value.start}, ${value.stop}${step})`);
  }
  if (value instanceof Undefined) return text('Undefined');
  if (value instanceof Namespace) {
    const attributes = new Dict(Array.from(value.attributes, ([name, one]) => [text(name), one] as const));
    return enclosed('<Namespace ', [inner(attributes)], '>', 0);
  }
  const what = value instanceof Sequence ? `a ${value.name}; use |list` : `a ${typeName(value)}`;
  // Python prints the object's address in memory.
  throw new UnsupportedTemplateError(`it prints ${what}`);
}

function enclosed(start: string, items: Text[], end: string, origin: number): Text {
  const inner = Text.join(items, new Text(', ', origin));
  return Text.join([new Text(start, origin), inner, new Text(end, origin)]);
}

// Characters that Python does not print: controls, surrogates, unassigned ones, and all separators but the space.
const unprintable = /[\p{C}\p{Z}]/u;

function quoted(value: Text): Text {
  const quote = value.value.includes("'") && !value.value.includes('"') ? '"' : "'";
  const mark = new Text(quote, value.origin ?? value.runs[0]!.origin);
  const body = value.plain().map((part) => {
    if (!/[\\'"]/.test(part) && !/[^\x20-\x7e]/.test(part)) return part;
    let result = '';
    for (const point of part) result += escapedPoint(point, quote);
    return result;
  });
  return Text.join([mark, body, mark]);
}

function escapedPoint(point: string, quote: string): string {
  if (point === quote || point === '\\') return `\\${point}`;
  if (point === '\n') return '\\n';
  if (point === '\r') return '\\r';
  if (point === '\t') return '\\t';
  if (point === ' ' || !unprintable.test(point)) return point;
  const code = point.codePointAt(0)!;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}

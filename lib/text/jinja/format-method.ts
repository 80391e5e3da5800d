import { bind, textArgument } from './arguments.js';
import type { Budget } from './budget.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { formatValue } from './format-spec.js';
import { printed, represented } from './printing.js';
import type { StringMethod } from './string-methods.js';
import { Text } from './text.js';
import { type CallArguments, Dict, text, type Value } from './values.js';

/** How a field of a format string reads `value.name` and `value[key]`. */
export interface Access {
  attributeOf(object: Value, name: string, budget: Budget): Value;
  itemOf(object: Value, key: Value, budget: Budget): Value;
}

/** The methods of strings that format: `format` and `format_map`. */
export function formatMethods(access: Access): ReadonlyMap<string, StringMethod> {
  return new Map<string, StringMethod>([
    ['format', (value, args, budget) => formatText(value, args, budget, access)],
    ['format_map', (value, args, budget) => formatText(value, argumentsOfMap(args), budget, access)],
  ]);
}

function argumentsOfMap(args: CallArguments): CallArguments {
  const [mapping] = bind('format_map', args, 'mapping', '/');
  if (!(mapping instanceof Dict)) throw new TemplateError('format_map() wants a dict');
  const named = new Map(mapping.entries().map(([key, one]) => [textArgument('format_map', key).value, one] as const));
  return { positional: [], named };
}

/** Python's str.format: `{}`, `{0}`, `{name}`, with `.attribute`, `[key]`, `!r`, `!s` and `:spec`. */
function formatText(format: Text, args: CallArguments, budget: Budget, access: Access): Text {
  if (format.isSafe) throw new UnsupportedTemplateError('format() of a text marked as safe is not supported');
  budget.spendText(format.length);
  let automatic = 0;
  let isManual = false;

  const field = (source: string): Value => {
    const [, first = '', rest = ''] = /^([^.[]*)(.*)$/s.exec(source)!;
    let value: Value | undefined;
    if (first === '' || /^\d+$/.test(first)) {
      if (first === '' ? isManual : automatic > 0)
        throw new TemplateError('cannot switch between manual field specification and automatic field numbering');
      isManual ||= first !== '';
      const index = first === '' ? automatic++ : Number(first);
      value = args.positional[index];
      if (value === undefined)
        throw new TemplateError(`Replacement index ${index} out of range for positional args tuple`);
    } else {
      value = args.named.get(first);
      if (value === undefined) throw new TemplateError(`'${first}'`);
    }
    let end = 0;
    for (const match of rest.matchAll(/\.([^.[]+)|\[([^\]]+)\]/gy)) {
      end = match.index + match[0].length;
      if (match[1] !== undefined) value = access.attributeOf(value, match[1], budget);
      else value = access.itemOf(value, /^\d+$/.test(match[2]!) ? BigInt(match[2]!) : text(match[2]!), budget);
    }
    if (end < rest.length) throw new TemplateError(`format(): '${source}' is no field`);
    return value;
  };

  const expand = (source: Text, depth: number): Text => {
    if (depth > 2) throw new TemplateError('Max string recursion exceeded');
    const parts: Text[] = [];
    const whole = source.value;
    for (let at = 0; at < whole.length; ) {
      const brace = whole.slice(at).search(/[{}]/);
      if (brace < 0) {
        parts.push(source.slice(at));
        break;
      }
      parts.push(source.slice(at, at + brace));
      at += brace;
      if (whole[at] === whole[at + 1]) {
        parts.push(source.slice(at, at + 1));
        at += 2;
        continue;
      }
      if (whole[at] === '}') throw new TemplateError("Single '}' encountered in format string");
      const end = closingBrace(whole, at);
      const [, name = '', conversion, spec = ''] =
        /^((?:[^!:[]|\[[^\]]*\])*)(?:!(.))?(?::(.*))?$/s.exec(whole.slice(at + 1, end)) ?? [];
      if (name === '' && conversion === undefined && spec === '' && end > at + 1 && whole[at + 1] !== ':')
        throw new TemplateError('format(): a field of the format string cannot be read');
      let value = field(name);
      if (conversion === 'r') value = represented(value);
      else if (conversion === 's') value = printed(value);
      else if (conversion !== undefined)
        throw new UnsupportedTemplateError(`the conversion '!${conversion}' is not supported`);
      parts.push(formatValue(value, expand(text(spec), depth + 1).value).plain());
      at = end + 1;
    }
    return Text.join(parts);
  };

  const result = expand(format, 0);
  budget.spendText(result.length);
  return result;
}

function closingBrace(source: string, from: number): number {
  let depth = 0;
  for (let at = from; at < source.length; at++) {
    if (source[at] === '{') depth++;
    if (source[at] === '}' && --depth === 0) return at;
  }
  throw new TemplateError("Single '{' encountered in format string");
}

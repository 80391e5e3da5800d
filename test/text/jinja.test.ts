/** The template engine: each construct as Python's Jinja2 renders it, and where each character came from. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import test from 'tape';
import { TemplateError, TemplateSyntaxError, UnsupportedTemplateError } from '../../lib/text/jinja/failure.js';
import { fromJavaScript, parseJson } from '../../lib/text/jinja/from-json.js';
import { Template } from '../../lib/text/jinja/template.js';
import { Text } from '../../lib/text/jinja/text.js';
import type { Dict, Value } from '../../lib/text/jinja/values.js';

const folder = new URL('../support/', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, folder), 'utf8');
// Read by the engine's own reader, which keeps integers beyond 2 ** 53.
const fixture = parseJson(read('jinja-goldens.json'), 0) as Dict;
const contexts = get(fixture, 'contexts') as Dict;
const cases = (get(fixture, 'cases') as { items?: readonly Value[] }).items as Dict[];

function get(dict: Dict, name: string): Value | undefined {
  return dict.get(new Text(name));
}

function string(dict: Dict, name: string): string | undefined {
  const value = get(dict, name);
  return value instanceof Text ? value.value : undefined;
}

function variablesOf(dict: Dict): Map<string, Value> {
  return new Map(dict.entries().map(([key, value]) => [(key as Text).value, value]));
}

function render(source: string, variables: Record<string, Value> = {}): Text {
  return new Template(source).render(new Map(Object.entries(variables)));
}

function thrown(run: () => unknown): Error & { line?: number } {
  try {
    return new Error(`nothing was thrown; it gives ${String(run()).slice(0, 100)}`);
  } catch (error) {
    return error as Error;
  }
}

test("every case renders as Python's Jinja2 renders it, or fails where it fails", (t) => {
  let rendered = 0;
  for (const one of cases) {
    const file = string(one, 'file');
    const source = file === undefined ? string(one, 'template')! : read(`templates/${file}`);
    const name = `${file ?? JSON.stringify(source)} with ${string(one, 'context')}`;
    const wanted = string(one, 'text');
    const variables = variablesOf(get(contexts, string(one, 'context')!) as Dict);
    try {
      const { value } = new Template(source).render(variables);
      rendered++;
      if (value !== wanted) t.equal(value, wanted ?? `error ${string(one, 'error')}`, name);
    } catch (error) {
      const isRefusal = error instanceof TemplateError || error instanceof TemplateSyntaxError;
      if (wanted !== undefined || !isRefusal) t.error(error, name);
    }
  }
  t.ok(rendered > 600, `${rendered} of ${cases.length} render`);
  t.end();
});

test('whole templates render the same with other line endings', (t) => {
  for (const one of cases) {
    const file = string(one, 'file');
    const wanted = string(one, 'text');
    if (file === undefined || wanted === undefined) continue;
    const variables = variablesOf(get(contexts, string(one, 'context')!) as Dict);
    for (const end of ['\r\n', '\r'])
      t.equal(new Template(read(`templates/${file}`).replaceAll('\n', end)).render(variables).value, wanted, file);
  }
  t.end();
});

test('what the engine does not have is refused with its name and line', (t) => {
  const compile: [string, string][] = [
    ['a\n{% include "x" %}', "line 2: the statement 'include'"],
    ['{% block a %}{% endblock %}', "line 1: the statement 'block'"],
    ['{{ 1 }}\n\n{{ s|wordwrap }}', "line 3: the filter 'wordwrap'"],
    ['{% if false %}{{ s|striptags }}{% endif %}', "line 1: the filter 'striptags'"],
    ['{{ self.title() }}', "line 1: 'self'"],
    ["{{ '\\N{BULLET}' }}", 'line 1: characters by name'],
    [`{{ ${'('.repeat(300)}1${')'.repeat(300)} }}`, 'line 1: more than 200 constructs'],
  ];
  for (const [source, wanted] of compile) {
    const error = thrown(() => new Template(source));
    t.ok(
      error instanceof TemplateSyntaxError && error.isUnsupported && error.message.startsWith(wanted),
      error.message,
    );
  }
  const run: [string, string][] = [
    ["{{ 'a'.encode() }}", 'encode()'],
    ["{{ [1]|map('string') }}", 'generator'],
    ["{{ ('<'|safe).replace('a', 'b') }}", 'replace() of a text marked as safe'],
    ['{{ (-1) ** 0.5 }}', 'complex'],
    ["{{ '{!a}'.format(1) }}", '!a'],
    ['{{ 5.bit_length() }}'.replace('5', '(5)'), 'bit_length'],
    ["{{ {'a': 1}[1:] }}", 'a slice of a dict'],
  ];
  for (const [source, wanted] of run) {
    const error = thrown(() => render(source));
    t.ok(
      error instanceof UnsupportedTemplateError && error.message.includes(wanted) && error.line === 1,
      error.message,
    );
  }
  t.end();
});

test('no template runs for ever, or takes all memory', (t) => {
  const loop = '{% for i in range(100000) %}';
  for (const [source, wanted] of [
    [`${loop}${loop}x{% endfor %}{% endfor %}`, 'steps'],
    [`{{ range(100000)|map('string')|join }}`.replace('{{', `${loop}{{`).replace('}}', '}}{% endfor %}'), 'steps'],
    [`{% set ns = namespace(s='ab') %}${loop}{% set ns.s = ns.s ~ ns.s %}{% endfor %}`, 'characters'],
    ["{{ ('a' * 100000000) * 100000000 }}", 'steps'],
    ["{% set x = 'a' * 100000000 %}{{ x ~ x }}", 'characters'],
    ["{{ ('a' * 10000000)|replace('a', 'b' * 10000000) }}", 'characters'],
    ["{{ 'a'.center(10 ** 30) }}", 'characters'],
    ["{{ '%1000000000s' % 'a' }}", 'characters'],
    ['{{ [1] * 10 ** 12 }}', 'items'],
    ['{{ 10 ** (10 ** 10) }}', 'bits'],
    ['{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}', 'calls inside each other'],
    ['{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}', 'calls inside each other'],
    [`{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}`, 'nested'],
    [
      `{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l|tojson }}`,
      'nested',
    ],
  ] as const) {
    const error = thrown(() => render(source));
    t.ok(error instanceof TemplateError && error.message.includes(wanted), `${source}: ${error.message}`);
  }
  t.end();
});

test('values of JavaScript are what their JSON is in Python', (t) => {
  const shown = (value: unknown) => render('{{ v|tojson }} {{ v }}', { v: fromJavaScript(value, 1) }).value;
  t.equal(
    shown({ a: 1, b: 1.5, c: [true, null], d: undefined }),
    `{"a": 1, "b": 1.5, "c": [true, null]} {'a': 1, 'b': 1.5, 'c': [True, None]}`,
  );
  t.equal(shown(2n ** 70n), `${2n ** 70n} ${2n ** 70n}`);
  t.equal(shown(1e20), '100000000000000000000 100000000000000000000');
  t.equal(shown(1e21), '1e+21 1e+21', 'as JSON.stringify writes it');
  t.equal(shown(new Date(0)), `"1970-01-01T00:00:00.000Z" 1970-01-01T00:00:00.000Z`);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  t.throws(() => fromJavaScript(cycle, 1), /contains itself/);
  t.throws(() => fromJavaScript([() => 1], 1), /found a function/);
  const json = '{"a": [1.0, -0, 12345678901234567890, 1E5, "\\u00e9\\n"], "b": {}, "a": true}';
  t.equal(render('{{ v|tojson }}', { v: parseJson(json, 0)! }).value, '{"a": true, "b": {}}', 'the last of two counts');
  t.equal(
    render('{{ v }}', { v: parseJson('[1.0, -0, 12345678901234567890, 1E5]', 0)! }).value,
    '[1.0, 0, 12345678901234567890, 100000.0]',
  );
  for (const source of ['', '{', '[1,]', '{"a"}', '{"a":1,}', '01', "'a'", '[1] 2', 'nul', '"\n"', '[1 2]', '1.'])
    t.equal(parseJson(source, 0), undefined, JSON.stringify(source));
  const property = fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
    const written = render('{{ v|tojson(separators=(",", ":")) }}', { v: parseJson(JSON.stringify(value), 0)! }).value;
    return JSON.stringify(JSON.parse(written)) === JSON.stringify(value);
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }));
  t.end();
});

/** The text with each stretch of another's origin in its brackets: <1:...>. */
function marked(text: Text): string {
  let from = 0;
  let result = '';
  for (const { end, origin } of text.runs) {
    const part = text.value.slice(from, end);
    result += origin === 0 ? part : `<${origin}:${part}>`;
    from = end;
  }
  return result;
}

test('each character knows where it came from, whatever is done to it', (t) => {
  const one = (value: unknown) => fromJavaScript(value, 1);
  const two = (value: unknown) => fromJavaScript(value, 2);
  const cases: [string, string][] = [
    ['a{{ v }}b{{ w }}', 'a<1: xY z ><2:wW>'.replace('><2', '>b<2')],
    ["{{ v ~ '|' ~ w }}{{ v + w }}", '<1: xY z >|<2:wW><1: xY z ><2:wW>'],
    ['{{ (v ~ w)|upper }}', '<1: XY Z ><2:WW>'],
    ["{{ (v ~ '-')|trim }}{{ v|trim }}", '<1:xY z >-<1:xY z>'],
    ["{{ v.split('Y')|join(w) }}", '<1: x><2:wW><1: z >'],
    ["{{ v.replace('x', '(x)')|replace('z', w) }}", '<1: >(x)<1:Y ><2:wW><1: >'],
    ['{{ (v ~ w)[1:-1] }}{{ (v ~ w)[::-1] }}{{ (w ~ v)[::2] }}', '<1:xY z ><2:wWw><1: z Yx ><2:w><1: Yz>'],
    ['{{ (v ~ w)[1] }}{% for c in w ~ "." %}{{ c }},{% endfor %}', '<1:x><2:w>,<2:W>,.,'],
    ["{{ {'k': w}|tojson }}", '{"k": <2:"wW">}'],
    ['{{ d|tojson }}', '<1:{"a": [1, "b"]}>'],
    ['{{ d }}{{ d.a }}', "<1:{'a': [1, 'b']}[1, 'b']>"],
    ['{% for k, x in d|items %}{{ k }}={{ x|list|tojson }}{% endfor %}', '<1:a>=<1:[1, "b"]>'],
    ["{{ '%s/%s' % (v, w) }}{{ '{}/{:>4}'.format(w, w) }}", '<1: xY z >/<2:wWwW>/  <2:wW>'],
    ['{{ v|tojson }}{{ [v]|string }}', `<1:" xY z ">[<1:' xY z '>]`],
    ['{% macro m(x) %}({{ x }}{{ caller() }}){% endmacro %}{% call m(v) %}{{ w }}{% endcall %}', '(<1: xY z ><2:wW>)'],
    ['{% set x %}{{ v }}.{% endset %}{{ x|title }}', '<1: Xy Z >.'],
    ['{% filter upper %}a{{ w }}{% endfilter %}', 'A<2:WW>'],
    ["{{ (w ~ '\\n' ~ w)|indent }}{{ w.center(6, '*') }}{{ w * 2 }}", '<2:wW>\n    <2:wW>**<2:wW>**<2:wWwW>'],
    ["{{ v.partition('Y')[2] }}{{ v.strip().rsplit(' ', 1)[1] }}{{ (w ~ '<')|e }}", '<1: z z><2:wW>&lt;'],
    ["{{ [v, w]|map('trim')|map('first')|join('+') }}{{ (v ~ w)|truncate(5, true, '~', 0) }}", '<1:x>+<2:w><1: xY >~'],
    ['{{ w.capitalize() }}{{ w.swapcase() }}{{ w.title() }}{{ (v ~ w)|reverse }}', '<2:WwWwWwWw><1: z Yx >'],
  ];
  const variables = { v: one(' xY z '), w: two('wW'), d: one({ a: [1, 'b'] }) };
  for (const [source, wanted] of cases) t.equal(marked(render(source, variables)), wanted, source);
  t.end();
});

test('operations on texts give what they give without origins, and whole characters keep theirs', (t) => {
  const part = fc.string({ unit: fc.constantFrom('a', 'B', ' ', '\n', '👋', 'ß', '"', '<'), maxLength: 6 });
  const parts = fc.array(fc.tuple(part, fc.nat(2)), { maxLength: 5 });
  const step = fc.constantFrom(
    ...[
      '|upper',
      '|trim',
      '|title',
      '[1:]',
      '[::-1]',
      '[::2]',
      '|tojson',
      '|replace("a", "xy")',
      '|indent',
      '.split()|join',
    ],
    ...[
      '.splitlines()|join("+")',
      '|reverse',
      '.strip("a")',
      '|list|string',
      ' * 2',
      '.partition("a")|join("|")',
      '.swapcase()',
      '[-3:]',
    ],
  );
  const property = fc.property(parts, fc.array(step, { maxLength: 4 }), (pieces, steps) => {
    const texts = pieces.map(([value, origin]) => new Text(value, origin));
    const whole = texts.reduce((sum, text) => sum.concat(text), new Text(''));
    const source = `{{ ${steps.reduce((inner, next) => `(${inner}${next})`, 'v')} }}`;
    const result = render(source, { v: whole });
    const plain = render(source, { v: new Text(whole.value) });
    const ends = result.runs.map(({ end }) => end);
    const isInOrder = ends.every((end, i) => end > (ends[i - 1] ?? 0)) && (ends.at(-1) ?? 0) === result.value.length;
    return result.value === plain.value && isInOrder;
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 2000 }));
  t.end();
});

test('the time to render is linear in the conversation', (t) => {
  const template = new Template(read('templates/exaone.jinja'));
  const time = (count: number) => {
    const messages = Array.from({ length: count }, (_, i) => ({
      role: i % 2 ? 'assistant' : 'user',
      content: `message ${i} `.repeat(10),
    }));
    const variables = new Map([['messages', fromJavaScript(messages, 1)]]);
    const started = performance.now();
    template.render(variables);
    return performance.now() - started;
  };
  time(500);
  const few = Math.min(...[1, 2, 3].map(() => time(1_000)));
  let ratio = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 8 && ratio >= 10; tries++) ratio = Math.min(ratio, time(4_000) / few);
  t.ok(ratio < 10, `${ratio.toFixed(1)} times as long for four times as much`);
  t.end();
});

/** Tool calls given in parts while the model writes them. */
import fc from 'fast-check';
import test from 'tape';
import { JsonRepairer, repairJson } from '../../lib/text/json-repairer.js';
import { readJson } from '../../lib/text/lenient-json.js';
import { ReplyParser, type ReplyPiece } from '../../lib/text/reply-parser.js';
import type { Tool } from '../../lib/types.js';
import { cut, cuts, parseWhole } from '../support/reply.js';

/** The parts of an answer's calls, put together by their ids. */
function joined({ toolCallDeltas }: Pick<ReplyPiece, 'toolCallDeltas'>) {
  const calls = new Map<string, { index: number; name: string; argumentsText: string }>();
  for (const { id, index, name, argumentsText } of toolCallDeltas) {
    const call = calls.get(id);
    if (call === undefined && name !== undefined) calls.set(id, { index, name, argumentsText });
    else if (call?.index !== index || name !== undefined) throw new Error(`${id}: its parts do not belong together`);
    else call.argumentsText += argumentsText;
  }
  return calls;
}

const tool = (properties: Record<string, unknown>): Tool => ({
  type: 'function',
  function: { name: 'write', parameters: { type: 'object', properties } },
});
const write = tool({ path: { type: 'string' }, text: { type: 'string' }, mode: { type: 'integer' } });

/** The parts of calls that each piece of a text gives: the name, or the arguments' text. */
function partsOf(pieces: string[], tools: readonly Tool[] = [write]): string[] {
  const parser = new ReplyParser({ startsInReasoning: false, tools });
  return pieces.map((piece) =>
    parser
      .push(piece)
      .toolCallDeltas.map(({ name, argumentsText }) => name ?? argumentsText)
      .join('|'),
  );
}

test('a call comes as its name, then its arguments as they are written', (t) => {
  t.deepEqual(
    partsOf([
      'So:\n<tool_call>{"na',
      'me": "write", "argu',
      'ments": {"text"',
      ': "one',
      ' two\\',
      'n", "mode":',
      ' 64',
      '4',
      '}',
      '}</tool_',
      'call>',
    ]),
    ['', '', 'write|{"text"', ': "one', ' two', '\\n", "mode":', '', '', ' 644}', '', ''],
  );
  t.deepEqual(
    partsOf([
      '<tool_call><function=write',
      '>',
      '<parameter=text>\n',
      'one\n',
      'a </b',
      ' c</parameter>',
      '\n<parameter=mode>64',
      '4</parameter>',
      '</function>',
      '</tool_call>',
    ]),
    ['', 'write', '{"text":"', 'one', '\\na </b', ' c', '"', '', ',"mode":644', '}'],
    'a value that is no text comes whole',
  );
  t.deepEqual(
    partsOf(['<tool_call>[{"name": "a", "arguments": {', '}}, {"name": "b"}]', '</tool_call>']),
    ['', '', 'a|{}|b|{}'],
    'a call in another form comes at its end',
  );
  t.deepEqual(
    partsOf(['<tool_call>{"name": "a", "arguments": {}}', '\n{"name": "b", "arguments": {"c": ', '1}}</tool_call>']),
    ['a|{}', 'b|{"c":', ' 1}'],
    'two in one tag',
  );
  t.end();
});

test('a call that turns out to be none stays text, and its parts are void', (t) => {
  for (const body of [
    '{"name": "f", "arguments": {"a": 1 2, "b": 3}}',
    '{"name": "f", "arguments": {"a": "cut off',
    '{"name": "f", "arguments": {"a": 1}, "arguments": {"b": 2}}',
    '{"name": "f", "arguments": {"a": 1}, "name": "g"}',
    '<function=f><parameter=a>1</parameter>x</function>',
  ]) {
    const text = `<tool_call>${body}`;
    const whole = parseWhole(text);
    t.deepEqual([whole.text, whole.toolCalls], [text, []], body);
    t.equal(joined(whole).get('call_0')?.name, 'f', 'its name had been given');
    t.equal(whole.failedToolCalls[0]?.id, 'call_0', 'and the failure names the call');
  }
  const next = parseWhole(
    '<tool_call>{"name": "f", "arguments": {"a": 1 2}}</tool_call><tool_call>{"name": "g", "arguments": {}}</tool_call>',
  );
  t.deepEqual(
    [...joined(next).values()].map(({ index, name }) => [index, name]),
    [
      [0, 'f'],
      [1, 'g'],
    ],
    'the next call has the next number',
  );
  t.end();
});

test('ids never repeat', (t) => {
  const ids = Array.from({ length: 50 }, () => {
    const parser = new ReplyParser({ startsInReasoning: false, tools: true });
    const call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>';
    return parser.push(call + call).toolCalls.map(({ id }) => id);
  }).flat();
  t.equal(new Set(ids).size, 100);
  t.ok(ids.every((id) => /^call_[0-9A-Za-z]{24}$/.test(id)));
  t.end();
});

/** JSON with the mistakes that models make, by changes of valid JSON. */
const mistaken = fc
  .tuple(fc.jsonValue(), fc.nat(2), fc.array(fc.nat(6), { minLength: 1, maxLength: 3 }))
  .map(([value, indent, changes]) => {
    let text = JSON.stringify({ a: value, "it's": [true, null, 'x\ny"z\u0001'] }, null, indent);
    for (const change of changes)
      text = [
        () => text.replaceAll('true', 'True').replaceAll('null', 'None'),
        () => text.replaceAll('\\n', '\n'),
        () => text.replace(/([}\]])$/, ',$1'),
        () => text.replaceAll(/"([^"'\\]*)"/g, "'$1'"),
        () => text.slice(0, -1),
        () => text.replaceAll('\\u', '\\x'),
        () => text.replaceAll('"it\'s"', "'it\\'s'"),
      ][change]!();
    return text;
  });

test('repaired JSON is what was meant, in whichever pieces it comes', (t) => {
  let repaired = 0;
  const property = fc.property(mistaken, cuts, (source, places) => {
    const meant = readJson(source);
    if (meant === undefined) return true;
    repaired += meant.repaired ? 1 : 0;
    const text = repairJson(source);
    if (JSON.stringify(JSON.parse(text)) !== JSON.stringify(meant.value)) return false;
    if (!meant.repaired && text !== source.trimEnd()) return false;
    return [cut(source, places), source.split('')].every((pieces) => {
      const repairer = new JsonRepairer();
      return pieces.map((piece) => repairer.push(piece)).join('') + repairer.end() === text;
    });
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 3000 }));
  t.ok(repaired > 1000, `${repaired} of them had mistakes`);
  const valid = fc.property(fc.jsonValue(), fc.nat(3), (value, indent) => {
    const text = JSON.stringify(value, null, indent);
    return repairJson(text) === text;
  });
  t.doesNotThrow(() => fc.assert(valid, { numRuns: 1000 }), 'valid JSON stays as it is');
  t.equal(repairJson('['.repeat(100_000)).length, 100_000, 'nesting without end is no crash');
  t.end();
});

const bodies = [
  '{"name": "f", "arguments": {"a": 1}}',
  '{"name":"write","arguments":{"text":"</tool_call>","n":[1,2,{"x":"한글 😀"}]}}',
  '{"name": "f", "arguments": {"a": 1',
  '{"name": "f", "arguments": {"a": "b',
  `{"name": "f", "arguments": {'a': True, "b": "c\td",}}`,
  '{"name": "f", "arguments": {"a": 1}, "arguments": {"b": 2}}',
  '{"name": "f", "arguments": {"a": 1 2}}',
  '{"name": "f", "arguments": "{\\"a\\": 1}"}',
  '{"function": {"name": "f", "arguments": {"a": 1}}}',
  '[{"name": "f"}, {"name": "g", "arguments": {"b": 2}}]',
  '{"name": "f", "parameters": {"a": 1}}',
  '<function=write><parameter=text>\nx\n</parameter> 😀\n</parameter><parameter=mode>7</parameter></function>',
  '<function=write><parameter=text>\n\n</parameter><parameter=mode>True</parameter><parameter=o>[1]</parameter></function>',
  '<function=write><parameter=path>a</function>',
  '<function=write><parameter=path></parameter>x</function>',
  '<function=f></function>',
  ' is a word.',
];
const fragments = [
  ...bodies,
  ...bodies.map((body) => `<tool_call>${body}</tool_call>`),
  '<tool_call>',
  '}',
  '\n',
  'text',
];
const reply = fc.array(fc.constantFrom(...fragments), { maxLength: 6 }).map((parts) => parts.join(''));

test('every way to cut up a reply gives the same parts, which make up the calls', (t) => {
  let calls = 0;
  let voided = 0;
  const property = fc.property(reply, cuts, fc.boolean(), (text, places, startsInReasoning) => {
    const options = { startsInReasoning, tools: [write] };
    const whole = parseWhole(text, options);
    const parts = joined(whole);
    const isWhole = whole.toolCalls.every(
      ({ id, name, argumentsText, arguments: values }) =>
        parts.get(id)?.name === name &&
        parts.get(id)?.argumentsText === argumentsText &&
        JSON.stringify(JSON.parse(argumentsText)) === JSON.stringify(values),
    );
    const failedIds = whole.failedToolCalls.flatMap(({ id }) => id ?? []);
    if (!isWhole || parts.size !== whole.toolCalls.length + failedIds.length) return false;
    if (![...parts.values()].every(({ index }, i) => index === i)) return false;
    calls += whole.toolCalls.length;
    voided += failedIds.length;
    const wanted = JSON.stringify([...parts]);
    return [cut(text, places), text.split('')].every(
      (pieces) => JSON.stringify([...joined(parseWhole(pieces, options))]) === wanted,
    );
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 2000 }));
  t.ok(calls > 1000 && voided > 200, `${calls} calls, and ${voided} that turned out to be none`);
  for (const body of bodies)
    for (const text of [`a\n<tool_call>${body}</tool_call>\nb`, `<tool_call>${body}`]) {
      const wanted = JSON.stringify([...joined(parseWhole(text, { tools: [write] }))]);
      const differing = Array.from(text, (_, at) => [text.slice(0, at), text.slice(at)]).filter(
        (pieces) => JSON.stringify([...joined(parseWhole(pieces, { tools: [write] }))]) !== wanted,
      );
      t.deepEqual(differing, [], JSON.stringify(text));
    }
  t.end();
});

test('a long text in a call costs time in proportion', (t) => {
  for (const [start, end] of [
    ['{"name": "write", "arguments": {"text": "', '"}}'],
    ['<function=write><parameter=text>', '</parameter></function>'],
  ] as const) {
    const timed = (length: number) => {
      const parser = new ReplyParser({ startsInReasoning: false, tools: [write] });
      const begin = performance.now();
      let given = 0;
      for (const piece of [`<tool_call>${start}`, ...Array<string>(length).fill('word '), `${end}</tool_call>`])
        for (const { argumentsText } of parser.push(piece).toolCallDeltas) given += argumentsText.length;
      t.equal(given, 5 * length + '{"text":""}'.length + (start.startsWith('{') ? 1 : 0));
      return performance.now() - begin;
    };
    timed(1000);
    const [short, long] = [timed(4000), timed(32000)];
    t.ok(long < 40 * short + 50, `4,000 pieces take ${short.toFixed(1)} ms, 32,000 take ${long.toFixed(1)} ms`);
  }
  t.end();
});

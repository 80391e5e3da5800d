/** Tool calls as models write them: read, repaired, or left as text. */
import fc from 'fast-check';
import test from 'tape';
import { readJson } from '../../lib/text/lenient-json.js';
import { ReplyParser, type ReplyParserOptions } from '../../lib/text/reply-parser.js';
import type { Tool } from '../../lib/types.js';
import { cut, cuts, type ParsedReply, parse } from '../support/reply.js';

const answer = (text: string): ParsedReply => ({ text, reasoning: '', toolCalls: [], failedToolCalls: [] });
const thinking = { startsInReasoning: true };
const names = ({ toolCalls }: ParsedReply) => toolCalls.map(({ name }) => name);

test('calls written as JSON are read', (t) => {
  t.deepEqual(parse('<tool_call>{"name": "weather", "arguments": {"city": "서울", "days": 2}}</tool_call>'), {
    ...answer(''),
    toolCalls: [
      {
        id: 'call_0',
        name: 'weather',
        arguments: { city: '서울', days: 2 },
        rawArguments: '{"city": "서울", "days": 2}',
      },
    ],
  });
  const { text, toolCalls } = parse(
    '찾아볼게요.\n\n<tool_call>\n{"arguments":{"a":[1,{"b":"}, \\"arguments\\": ["}]} ,"name":"f"}\n</tool_call>\n<tool_call>{"name":"g"}</tool_call>\n',
  );
  t.equal(text, '찾아볼게요.', 'whitespace around calls goes');
  t.deepEqual(toolCalls, [
    {
      id: 'call_0',
      name: 'f',
      arguments: { a: [1, { b: '}, "arguments": [' }] },
      rawArguments: '{"a":[1,{"b":"}, \\"arguments\\": ["}]}',
    },
    { id: 'call_1', name: 'g', arguments: {}, rawArguments: '' },
  ]);
  t.deepEqual(
    parse('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>').toolCalls,
    [{ id: 'call_0', name: 'f', arguments: { a: 1 }, rawArguments: '{"a": 1}' }],
    'arguments as JSON text',
  );
  t.deepEqual(
    parse('<tool_call>{"arguments": 1, "name": "f", "arguments": [2, 3] }</tool_call>').toolCalls,
    [{ id: 'call_0', name: 'f', arguments: [2, 3], rawArguments: '[2, 3]' }],
    'the last of two members counts',
  );
  t.end();
});

const search: Tool = {
  type: 'function',
  function: {
    name: 'search',
    parameters: {
      type: 'object',
      properties: {
        query: { type: 'string' },
        limit: { type: 'integer' },
        exact: { type: 'boolean' },
        score: { type: 'number' },
        tags: { type: 'array' },
        since: { type: ['string', 'null'] },
      },
    },
  },
};

test('calls written as XML are read, with the types the tool declares', (t) => {
  const body =
    '<parameter=query>\n42\n</parameter>\n<parameter=limit>\n7\n</parameter>\n<parameter=exact>True</parameter>\n' +
    '<parameter=score>2</parameter>\n<parameter=tags>\n["a", "나"]\n</parameter>\n<parameter=since>2026</parameter>';
  const { text, toolCalls } = parse(`찾는다.\n<tool_call>\n<function=search>\n${body}\n</function>\n</tool_call>`, {
    tools: [search],
  });
  t.equal(text, '찾는다.');
  t.deepEqual(toolCalls, [
    {
      id: 'call_0',
      name: 'search',
      arguments: { query: '42', limit: 7, exact: true, score: 2, tags: ['a', '나'], since: '2026' },
      rawArguments: body,
    },
  ]);
  const args = (source: string, tools: ReplyParserOptions['tools'] = true) =>
    parse(`<tool_call><function=search>${source}</function></tool_call>`, { tools }).toolCalls[0]?.arguments;
  t.deepEqual(args('<parameter=since>null</parameter>', [search]), { since: null });
  t.deepEqual(args('<parameter=limit>many</parameter>', [search]), { limit: 'many' }, 'what is no JSON stays text');
  t.deepEqual(
    args('<parameter=query>\n\n a < b\n <b>\n\n</parameter>', [search]),
    { query: '\n a < b\n <b>\n' },
    'one newline at either end goes',
  );
  t.deepEqual(
    args('<parameter=a>42</parameter><parameter=b>x y</parameter>'),
    { a: 42, b: 'x y' },
    'without a declaration JSON is read',
  );
  t.deepEqual(args(''), {});
  t.end();
});

test('what is no call stays text, and is told', (t) => {
  for (const body of [
    '{"name": "f", "arguments": {',
    '{"arguments": {}}',
    '{"name": 5}',
    '{"name": "f", "arguments": {"a": 1 2}}',
    '{"name": "f", "arguments": {"a": 010}}',
    '{"name": "f", "city": "Seoul"}',
    '{"name": "f"',
    '{"name": "f", "arguments": {"text": "cut',
    '[]',
    '[{"name": "f", "arguments": {}}, 5]',
    '```json\nhello\n```',
    '<function=f>x<parameter=a>1</parameter></function>',
    '<function=></function>',
    '<function=f<parameter=a>1</parameter></function>',
    '{bad}',
  ]) {
    const text = `a \n<tool_call>${body}</tool_call>\n b\n`;
    const found = parse(text);
    t.deepEqual([found.text, found.toolCalls], [text, []], JSON.stringify(body));
    t.deepEqual(
      found.failedToolCalls.map(({ rawText }) => rawText),
      [`<tool_call>${body}</tool_call>`],
    );
    t.ok(found.failedToolCalls[0]?.reason, found.failedToolCalls[0]?.reason);
    const next = parse(`${text}<tool_call>{"name": "g", "arguments": {}}</tool_call>`);
    t.deepEqual([next.text, names(next)], [text.trimEnd(), ['g']], 'and the next call is read');
  }
  for (const text of [
    '<tool_call></tool_call>',
    '<tool_call>null</tool_call>',
    'Calls stand between <tool_call> and </tool_call>.',
    'a <tool_ca',
  ])
    t.deepEqual(parse(text), answer(text), `no call begins: ${text}`);
  const cutOff = 'a\n<tool_call>{"name": "f", "arguments": {"text": "cu';
  t.deepEqual(parse(cutOff).text, cutOff);
  t.equal(parse(cutOff).failedToolCalls.length, 1, 'a call that is cut off inside is none');
  t.end();
});

/** Calls with their flags, without ids. */
function read(text: string, options: Partial<ReplyParserOptions> = {}) {
  return parse(text, options).toolCalls.map(({ id: _, ...call }) => call);
}

test('arguments go by several names', (t) => {
  for (const key of ['arguments', 'parameters', 'args', 'input'])
    t.deepEqual(
      read(`<tool_call>{"name": "f", "${key}": {"a": 1}}</tool_call>`),
      [{ name: 'f', arguments: { a: 1 }, rawArguments: '{"a": 1}' }],
      key,
    );
  t.deepEqual(
    read('<tool_call>{"name": "f", "parameters": {"a": 1}, "arguments": {"b": 2}}</tool_call>'),
    [{ name: 'f', arguments: { b: 2 }, rawArguments: '{"b": 2}' }],
    'arguments come first',
  );
  t.deepEqual(read('<tool_call>{"name": "f", "arguments": null}</tool_call>'), [
    { name: 'f', arguments: {}, rawArguments: 'null' },
  ]);
  const wanted = [{ name: 'f', arguments: { a: 1 }, rawArguments: '{"a":1}' }];
  t.deepEqual(read('<tool_call>{"function":{"name":"f","arguments":{"a":1}}}</tool_call>'), wanted);
  t.deepEqual(
    read('<tool_call>{"id":"x","type":"function","function":{"name":"f","arguments":"{\\"a\\":1}"}}</tool_call>'),
    wanted,
  );
  t.deepEqual(read('<tool_call>{"function":"f","arguments":{"a":1}}</tool_call>'), wanted);
  t.deepEqual(read('<tool_call>[{"name":"f","arguments":{"a":1}}, {"name":"g"}]</tool_call>'), [
    ...wanted,
    { name: 'g', arguments: {}, rawArguments: '' },
  ]);
  t.end();
});

test('calls with mistakes that leave no doubt are read, and say so', (t) => {
  const call = '{"name": "f", "arguments": {"a": 1}}';
  const one = { name: 'f', arguments: { a: 1 }, rawArguments: '{"a": 1}', repaired: true };
  for (const [title, text] of [
    ['the closing tag is missing', `<tool_call>${call}`],
    ['the closing tag is cut', `<tool_call>${call}\n</tool_c`],
    ['a brace too many', `<tool_call>${call}}</tool_call>`],
    ['a brace is missing', `<tool_call>${call.slice(0, -1)}</tool_call>`],
    ['two are', `<tool_call>${call.slice(0, -2)}</tool_call>`],
    ['a code fence', `<tool_call>\n\`\`\`json\n${call}\n\`\`\`\n</tool_call>`],
    ['a comma at the end', '<tool_call>{"name": "f", "arguments": {"a": 1},}</tool_call>'],
    ['single quotes', `<tool_call>{'name': 'f', 'arguments': {"a": 1}}</tool_call>`],
  ] as const) {
    const found = parse(text);
    // A call that is left open is not written again.
    const rawArguments = title === 'two are' ? '{"a": 1' : one.rawArguments;
    t.deepEqual(read(text), [{ ...one, rawArguments }], title);
    t.deepEqual([found.text, found.failedToolCalls], ['', []]);
  }
  t.deepEqual(read('<tool_call>{"name": "f", "arguments": {"a": [1, 2,], "b": "x\ty\nz",}}</tool_call>'), [
    {
      name: 'f',
      arguments: { a: [1, 2], b: 'x\ty\nz' },
      rawArguments: '{"a": [1, 2,], "b": "x\ty\nz",}',
      repaired: true,
    },
  ]);
  t.deepEqual(
    read(`<tool_call>{'name': 'f', 'arguments': {'a': True, 'b': None, 'c': 'it\\'s', 'd': "C:\\dir"}}</tool_call>`),
    [
      {
        name: 'f',
        arguments: { a: true, b: null, c: "it's", d: 'C:\\dir' },
        rawArguments: `{'a': True, 'b': None, 'c': 'it\\'s', 'd': "C:\\dir"}`,
        repaired: true,
      },
    ],
    'as Python writes it',
  );
  const two = parse(`<tool_call>${call}\n<tool_call>${call}</tool_call>`);
  t.deepEqual(
    two.toolCalls.map(({ repaired }) => repaired === true),
    [true, false],
    'the next call ends one without a closing tag',
  );
  t.deepEqual(names(parse(`<tool_call>${call}\n${call}, ${call}</tool_call>`)), ['f', 'f', 'f'], 'several in one tag');
  t.deepEqual(
    [parse(`<tool_call>${call} and so on`).text, read(`<tool_call>${call} and so on`)],
    [' and so on'.trim(), [one]],
    'text after it stays text',
  );
  t.end();
});

test('markers in strings and values are no markers', (t) => {
  for (const text of [
    'use </tool_call> to end',
    'use <tool_call> to begin',
    '<tool_call>{}</tool_call>',
    '}</tool_call>',
  ])
    t.deepEqual(
      read(`ok\n<tool_call>{"name":"f","arguments":{"text":"${text}"}}</tool_call>`),
      [{ name: 'f', arguments: { text }, rawArguments: `{"text":"${text}"}` }],
      text,
    );
  for (const text of ['use </tool_call> to end', '</parameter> ends it', '</function></tool_call>', '<b>\n x</b>'])
    t.deepEqual(
      read(`<tool_call><function=f><parameter=text>${text}</parameter></function></tool_call>`),
      [{ name: 'f', arguments: { text }, rawArguments: `<parameter=text>${text}</parameter>` }],
      text,
    );
  const unclosed = '<tool_call>{"name": "f}</tool_call>\nb\n<tool_call>{"name": "g"}</tool_call>';
  t.deepEqual(names(parse(unclosed)), ['g'], 'a quote that is not closed takes no call with it');
  t.equal(parse(unclosed).failedToolCalls[0]?.rawText, '<tool_call>{"name": "f}</tool_call>');
  t.end();
});

test('the form with functions has its mistakes, too', (t) => {
  const one = { name: 'f', arguments: { a: 1 }, repaired: true };
  for (const [title, body, rawArguments] of [
    ['</function> is missing', '<function=f><parameter=a>1</parameter></tool_call>', '<parameter=a>1</parameter>'],
    ['</parameter> is missing', '<function=f><parameter=a>1</function></tool_call>', '<parameter=a>1'],
    ['the tag is missing', '<function=f><parameter=a>1</parameter></function>', '<parameter=a>1</parameter>'],
  ] as const) {
    t.deepEqual(read(`<tool_call>${body}`), [{ ...one, rawArguments }], title);
    t.deepEqual(
      names(parse(`<tool_call>${body}<tool_call>{"name": "g"}</tool_call>`)),
      ['f', 'g'],
      `${title}, and more`,
    );
  }
  t.deepEqual(read('<tool_call><function=f></tool_call>'), [
    { name: 'f', arguments: {}, rawArguments: '', repaired: true },
  ]);
  const two = '<tool_call><function=f></function><function=g></function></tool_call>';
  t.deepEqual(names(parse(two)), ['f', 'g'], 'two in one tag');
  t.end();
});

test('a marker in prose takes no call with it', (t) => {
  const found = parse(
    'Calls look like <tool_call> here. Now:\n<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>',
  );
  t.equal(found.text, 'Calls look like <tool_call> here. Now:');
  t.deepEqual([names(found), found.failedToolCalls], [['f'], []]);
  const parser = new ReplyParser({ startsInReasoning: false, tools: true });
  t.equal(parser.push('a <tool_call> is').text, 'a <tool_call> is', 'and holds no text back');
  t.end();
});

test('a call in thinking that does not end counts, if the answer ends with it', (t) => {
  const call = '<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>';
  const found = parse(`I should call it.\n${call}\n`, thinking);
  t.deepEqual([found.reasoning, found.text, names(found)], ['I should call it.', '', ['f']]);
  t.deepEqual(names(parse(`x${call}\n${call}`, thinking)), ['f', 'f']);
  t.deepEqual(names(parse(`x${call.slice(0, -12)}`, thinking)), ['f'], 'without its closing tag, too');
  for (const thought of [`x\n${call}\nBut no.`, `x ${call}\n${call} `, `<tool_call> is a tag`, `x\n<tool_call>{bad`]) {
    const rest = parse(`${thought}\n</think>\n\nb`, thinking);
    t.deepEqual([rest.reasoning, rest.text, names(rest)], [thought, 'b', []], `a thought: ${thought}`);
  }
  const open = `x\n${call}\nBut no.`;
  t.deepEqual(parse(open, thinking), { ...answer(''), reasoning: open }, 'nor one that more thinking follows');
  t.end();
});

test('a second thinking block is thinking, where nothing was said yet', (t) => {
  t.deepEqual(
    parse('<think>\nfirst\n</think>\n\nok', thinking),
    { ...answer('ok'), reasoning: 'first' },
    'opened twice',
  );
  t.deepEqual(parse('a\n</think>\n\n<think>\nb\n</think>\n\nc', thinking), { ...answer('c'), reasoning: 'a\nb' });
  t.deepEqual(
    parse('a</think>b<think>c</think>d', thinking),
    { ...answer('b<think>c</think>d'), reasoning: 'a' },
    'after text it is text',
  );
  t.end();
});

test('numbers that a double cannot hold are named, and written exactly', (t) => {
  const raw = '{"id": 12345678901234567890, "n": 9007199254740993, "ok": 9007199254740992, "list": [1e400], "f": 0.1}';
  t.deepEqual(read(`<tool_call>{"name": "f", "arguments": ${raw}}</tool_call>`), [
    {
      name: 'f',
      arguments: JSON.parse(raw),
      rawArguments: raw,
      inexactNumbers: ['/id', '/n', '/list/0'],
    },
  ]);
  const xml = (tools: readonly Tool[]) =>
    read('<tool_call><function=f><parameter=id>12345678901234567890</parameter></function></tool_call>', { tools })[0];
  const tool = (type: string): Tool => ({
    type: 'function',
    function: { name: 'f', parameters: { properties: { id: { type } } } },
  });
  t.deepEqual(xml([])?.arguments, { id: '12345678901234567890' }, 'bare text that nobody declared stays text');
  t.deepEqual(xml([tool('string')])?.arguments, { id: '12345678901234567890' });
  t.deepEqual(
    [xml([tool('integer')])?.arguments, xml([tool('integer')])?.inexactNumbers],
    [{ id: Number('12345678901234567890') }, ['/id']],
  );
  t.end();
});

test('valid JSON is read as JSON.parse reads it', (t) => {
  const property = fc.property(fc.jsonValue(), fc.nat(3), (value, indent) => {
    const text = JSON.stringify(value, null, indent);
    const wanted = JSON.parse(text);
    // The reader's own value is that of the text with a mistake: an array with a comma at its end.
    const own = readJson(`[${text},]`);
    return (
      JSON.stringify(readJson(text)?.value) === JSON.stringify(wanted) &&
      readJson(text)?.repaired === false &&
      own?.repaired === true &&
      JSON.stringify(own.value) === JSON.stringify([wanted]) &&
      own.elements[0] === text
    );
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 1000 }));
  t.equal(readJson('['.repeat(1_000_000)), undefined, 'nesting without end is no crash');
  t.deepEqual(Object.keys(readJson('{"__proto__": {"x": 1},}')!.value as object), ['__proto__'], 'keys are only keys');
  t.end();
});

const bodies = [
  '{"name": "f", "arguments": {"a": 1}}',
  '{"name": "f", "arguments": {"t": "</tool_call>"}}',
  '{"name": "f", "arguments": {"t": "<tool_call>{"}}',
  '{"name": "f", "arguments": {"a": 1}}}',
  '{"name": "f", "arguments": {"a": 1',
  '{"name": "f',
  '[{"name": "f"}, {"name": "g"}]',
  '\n```json\n{"name": "f"}\n```\n',
  '<function=f><parameter=a>x</parameter> y</parameter></function>',
  '<function=f><parameter=a>x</function>',
  '<function=f>\n<parameter=a>\n</tool_call>\n</parameter>\n</function>\n',
  '{bad}',
  ' hello ',
];
const fragments = [
  ...bodies,
  ...bodies.map((body) => `<tool_call>${body}</tool_call>`),
  ...[
    '<tool_call>',
    '</tool_call>',
    '</tool',
    '<think>',
    '</think>',
    ',',
    '}',
    '"',
    "'",
    '```',
    '\n',
    ' ',
    'text',
    '한글',
  ],
];
const reply = fc.array(fc.constantFrom(...fragments), { maxLength: 9 }).map((parts) => parts.join(''));

test('every way to cut up a reply gives the same, and nothing is lost', (t) => {
  let calls = 0;
  let failed = 0;
  const property = fc.property(reply, cuts, fc.boolean(), (text, places, startsInReasoning) => {
    const options = { startsInReasoning, tools: true };
    const whole = parse(text, options);
    calls += whole.toolCalls.length;
    failed += whole.failedToolCalls.length;
    const wanted = JSON.stringify(whole);
    // Text that began as a call is all there; and words are in the answer, in the thinking, or in a call.
    const said = JSON.stringify([whole.text, whole.reasoning, whole.toolCalls]);
    const count = (where: string) => where.split('한글').length;
    if (!whole.failedToolCalls.every(({ rawText }) => whole.text.includes(rawText))) return false;
    if (count(said) < count(text)) return false;
    return [cut(text, places), text.split('')].every((pieces) => JSON.stringify(parse(pieces, options)) === wanted);
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 3000 }));
  t.ok(calls > 1000 && failed > 300, `${calls} calls and ${failed} failed ones among them`);
  for (const body of bodies)
    for (const text of [`a\n<tool_call>${body}</tool_call>\nb`, `<tool_call>${body}`]) {
      const wanted = JSON.stringify(parse(text));
      const differing = Array.from(text, (_, at) => [text.slice(0, at), text.slice(at)]).filter(
        (pieces) => JSON.stringify(parse(pieces)) !== wanted,
      );
      t.deepEqual(differing, [], JSON.stringify(text));
    }
  t.end();
});

/** An answer's text taken apart as it comes: `ReplyParser`, and stop texts found by `StopMatcher`. */
import fc from 'fast-check';
import test from 'tape';
import { KexaError } from '../../lib/errors.js';
import { ChatTemplate } from '../../lib/text/chat-template.js';
import { replyMarkers } from '../../lib/text/reply-markers.js';
import { endsInsideThinking, ReplyParser } from '../../lib/text/reply-parser.js';
import { StopMatcher } from '../../lib/text/stop-matcher.js';
import { StreamDecoder } from '../../lib/text/stream-decoder.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { modelFolder } from '../support/goldens.js';
import { cut, cuts, type ParsedReply, parse } from '../support/reply.js';

const answer = (text: string, reasoning = ''): ParsedReply => ({ text, reasoning, toolCalls: [], failedToolCalls: [] });
const thinking = { startsInReasoning: true };

test('an answer that starts in the thinking switches at the end marker', (t) => {
  t.deepEqual(parse('생각한다.\n</think>\n\n답.', thinking), answer('답.', '생각한다.'), 'as K-EXAONE writes it');
  t.deepEqual(parse('a</think>b', thinking), answer('b', 'a'));
  t.deepEqual(parse('\n\n</think>\n\nb', thinking), answer('b'), 'empty');
  t.deepEqual(parse('\n</think>\n\nb', thinking), answer('b'));
  t.deepEqual(parse('</think>b', thinking), answer('b'));
  t.deepEqual(
    parse('\n\na\n\n\n</think>\n\n\n  b\n', thinking),
    answer('  b\n', '\na\n\n'),
    'one newline goes, and all before the answer',
  );
  t.deepEqual(parse('a\n</think>', thinking), answer('', 'a'));
  t.deepEqual(parse('a</think>b</think>c', thinking), answer('b</think>c', 'a'), 'only the first one counts');
  t.deepEqual(parse('a <think> b</think>c', thinking), answer('c', 'a <think> b'));
  t.end();
});

test('thinking that does not end is all thinking', (t) => {
  t.deepEqual(parse('a\nb', thinking), answer('', 'a\nb'));
  t.deepEqual(parse('a\n', thinking), answer('', 'a'));
  t.deepEqual(parse('a\n</thin', thinking), answer('', 'a\n</thin'), 'nor does half a marker get lost');
  t.deepEqual(parse('', thinking), answer(''));
  t.end();
});

test('a think marker at the very start of an answer opens the thinking', (t) => {
  t.deepEqual(parse('<think>\na\n</think>\n\nb'), answer('b', 'a'));
  t.deepEqual(parse(' \n<think>a</think>b'), answer('b', 'a'), 'whitespace before it does not matter');
  t.deepEqual(parse('x<think>a</think>b'), answer('x<think>a</think>b'), 'but text does');
  t.deepEqual(parse('<thin'), answer('<thin'));
  t.deepEqual(parse('</think>b'), answer('</think>b'));
  t.deepEqual(parse('\n  plain \n', { tools: false }), answer('\n  plain \n'));
  t.deepEqual(parse('\n  plain \n'), answer('\n  plain \n'), 'whitespace that no call follows is kept');
  t.end();
});

test('the markers of the thinking are those that the template names', (t) => {
  const deep = new ChatTemplate({
    folder: '/model',
    file: "{% for m in messages %}{{ '[|' + m.role + '|]' + m.content }}{% endfor %}{{ '[|assistant|]<thought>\n' }}",
    config: {},
  });
  const { reasoning } = deep;
  t.deepEqual(reasoning, { open: '<thought>', close: '</thought>' });
  const prompt = deep.render([{ role: 'user', content: 'Hello' }]).text;
  t.ok(endsInsideThinking(prompt, reasoning) && !endsInsideThinking(prompt));
  const options = { startsInReasoning: true, reasoning };
  t.deepEqual(parse('a </think> b\n</thought>\n\nc', options), answer('c', 'a </think> b'));
  t.deepEqual(parse('<thought>\na\n</thought>\n\nb', { reasoning }), answer('b', 'a'));
  const plain = new ChatTemplate({ folder: '/model', file: '{{ messages[0].content }}', config: {} });
  t.equal(plain.reasoning.open, '<think>', 'a template that names none');
  t.end();
});

test('text comes out as soon as it cannot be a marker', (t) => {
  const parser = new ReplyParser({ startsInReasoning: true, tools: true });
  const piece = (text: string) => ({ ...answer(text), toolCallDeltas: [] });
  t.equal(parser.push('ab').reasoning, 'ab');
  t.equal(parser.push('\n').reasoning, '', 'the newline may belong to the marker');
  t.equal(parser.push('c').reasoning, '\nc');
  t.equal(parser.push(' </th').reasoning, ' ');
  t.equal(parser.push('e').reasoning, '</the');
  t.deepEqual(parser.push('\n</think>\n'), piece(''));
  t.deepEqual(parser.push('\nHi <'), piece('Hi'), 'a call may follow the space');
  t.deepEqual(parser.push('b> '), piece(' <b>'));
  t.deepEqual(parser.push('\n<tool_call>{"name": "f"'), piece(''));
  t.equal(parser.push('}</tool_call>').toolCalls.length, 1, 'a call comes with its last character');
  t.end();
});

test('the prompt tells whether the answer starts inside the thinking', async (t) => {
  t.ok(endsInsideThinking('<|assistant|>\n<think>\n'));
  t.ok(endsInsideThinking('<|assistant|>\n<think>'));
  t.notOk(endsInsideThinking('<|assistant|>\n<think>\n\n</think>\n\n'));
  t.notOk(endsInsideThinking('<|user|>\nwhat is <think>?<|endofturn|>\n<|assistant|>\n'));
  const tokenizer = await Tokenizer.open(modelFolder('tiny'));
  const messages = [{ role: 'user', content: '<think>' }] as const;
  t.ok(endsInsideThinking(tokenizer.applyChatTemplate(messages)));
  t.notOk(endsInsideThinking(tokenizer.applyChatTemplate(messages, { thinking: false })));
});

test('calls follow the thinking', (t) => {
  const { text, reasoning, toolCalls } = parse(
    '필요하다.\n</think>\n\n<tool_call>{"name": "f", "arguments": {}}</tool_call>',
    thinking,
  );
  t.deepEqual([text, reasoning, toolCalls.length], ['', '필요하다.', 1]);
  t.deepEqual(
    parse('<tool_call>{"name": "f"}</tool_call></think>b', thinking).toolCalls,
    [],
    'those inside it are thoughts',
  );
  t.end();
});

test('text after a call does not run into the text before it', (t) => {
  const call = '<tool_call>{"name": "f"}</tool_call>';
  t.equal(parse(`a\n${call}\nb`).text, 'a\nb');
  t.equal(parse(`${call}\nb\n`).text, 'b\n');
  t.equal(parse(`\n${call}\n${call}\n`).text, '');
  t.end();
});

test('calls are text when no tools were given', (t) => {
  const text = 'a\n<tool_call>{"name": "f", "arguments": {}}</tool_call>\n';
  t.deepEqual(parse(text, { tools: false }), answer(text));
  t.equal(parse(text, { tools: [] }).toolCalls.length, 1, 'an empty list still reads them');
  t.end();
});

const fragments = [
  ...['<think>', '</think>', '<tool_call>', '</tool_call>', '{"name": "f", "arguments": {"a": "나"}}', '{bad'],
  ...['<function=f>', '<parameter=a>', '1', '</parameter>', '</function>', '\n', ' ', '\n\n', 'text', '한글', '🙂'],
  ...['<', '</', '<tool', 'think>', '>', '<tool_call>{"name": "g"}</tool_call>'],
];
const reply = fc.array(fc.constantFrom(...fragments), { maxLength: 14 }).map((parts) => parts.join(''));
test('it does not matter how a reply is cut up', (t) => {
  let calls = 0;
  const property = fc.property(reply, cuts, fc.boolean(), fc.boolean(), (text, places, startsInReasoning, tools) => {
    const options = { startsInReasoning, tools };
    const whole = parse(text, options);
    calls += whole.toolCalls.length;
    return [cut(text, places), text.split('')].every(
      (pieces) => JSON.stringify(parse(pieces, options)) === JSON.stringify(whole),
    );
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 3000 }));
  t.ok(calls > 100, `${calls} calls among them`);
  t.end();
});

test('without calls nothing but markers and their newlines is taken away', (t) => {
  const property = fc.property(reply, fc.boolean(), (text, startsInReasoning) => {
    const { text: rest, reasoning } = parse(text, { startsInReasoning, tools: false });
    const bare = (value: string) => value.replace(/\s|<\/?think>/g, '');
    return bare(reasoning) + bare(rest) === bare(text);
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 1000 }));
  t.end();
});

test('the time of parsing is linear over a million pieces', (t) => {
  const time = (count: number, start: string, piece: string) => {
    const parser = new ReplyParser({ startsInReasoning: false, tools: true });
    parser.push(start);
    const started = performance.now();
    let length = 0;
    for (let i = 0; i < count; i++) length += parser.push(piece).text.length;
    length += parser.flush().text.length;
    if (length < count) throw new Error('text was lost');
    return performance.now() - started;
  };
  const cases: [string, string, string][] = [
    ['whitespace from the start', '', '\n'],
    ['whitespace', 'a', ' '],
    ['text', 'a', ' word'],
    ['no call', '<tool_call>', '{"a'],
    ['a call without end', '<tool_call>{"name": "f", "arguments": {"text": "', '<wo'],
    ['a value without end', '<tool_call><function=f><parameter=a>', '</p'],
  ];
  for (const [title, start, piece] of cases) {
    time(20_000, start, piece);
    // Whatever else the machine does can only add to a time; quadratic work is 16 times as long every time.
    const few = Math.min(...[1, 2, 3].map(() => time(262_144, start, piece)));
    let ratio = Number.POSITIVE_INFINITY;
    for (let tries = 0; tries < 8 && ratio >= 10; tries++) ratio = Math.min(ratio, time(1_048_576, start, piece) / few);
    t.ok(ratio < 10, `${title}: ${ratio.toFixed(1)} times as long for four times as much`);
  }
  t.end();
});

test('tokens of a reply reach the parser as text, markers included', async (t) => {
  const tokenizer = await Tokenizer.open(modelFolder('tiny'));
  t.teardown(() => tokenizer.close());
  const ids = tokenizer.encode(
    '생각.\n</think>\n\n답.\n<tool_call>{"name": "f", "arguments": {}}</tool_call><|endofturn|>',
  );
  const decoder = new StreamDecoder(tokenizer, { skipSpecialTokens: true, keep: replyMarkers() });
  const pieces = [...ids.map((id) => decoder.push([id])), decoder.flush()];
  t.deepEqual(parse(pieces, thinking), {
    ...answer('답.', '생각.'),
    toolCalls: [{ id: 'call_0', name: 'f', arguments: {}, rawArguments: '{}' }],
  });
});

function stopAt(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const matcher = new StopMatcher(stops);
  let text = '';
  let stopped = false;
  for (const piece of pieces) {
    const result = matcher.push(piece);
    text += result.text;
    stopped = result.stopped;
  }
  return { text: text + matcher.flush(), stopped };
}

test('a stop text ends the text before it, over any borders', (t) => {
  t.deepEqual(stopAt(['END'], ['abc E', 'N', 'D def', 'END']), { text: 'abc ', stopped: true });
  t.deepEqual(stopAt(['END'], ['abc E', 'N', 'd']), { text: 'abc ENd', stopped: false });
  t.deepEqual(stopAt(['END'], ['abc EN']), { text: 'abc EN', stopped: false }, 'what was held back comes at the end');
  t.deepEqual(stopAt([], ['abc']), { text: 'abc', stopped: false });
  t.deepEqual(stopAt(['b', 'a'], ['xaby']), { text: 'x', stopped: true }, 'the earliest match wins');
  t.deepEqual(stopAt(['abcd', 'bc'], ['xabcd']), { text: 'xa', stopped: true }, 'the one completed first');
  t.deepEqual(stopAt(['bc', 'abc'], ['xabcd']), { text: 'x', stopped: true }, 'of two, the one that began first');
  t.deepEqual(stopAt(['aab'], ['a', 'a', 'a', 'b']), { text: 'a', stopped: true }, 'partial matches may overlap');
  t.end();
});

test('text that cannot belong to a stop is not held back', (t) => {
  const matcher = new StopMatcher(['\n\nUser:', '###']);
  t.deepEqual(matcher.push('hello'), { text: 'hello', stopped: false });
  t.deepEqual(matcher.push('\n'), { text: '', stopped: false });
  t.deepEqual(matcher.push('\n\n'), { text: '\n', stopped: false });
  t.deepEqual(matcher.push('Us#'), { text: '\n\nUs', stopped: false });
  t.deepEqual(matcher.push('##!'), { text: '', stopped: true });
  t.deepEqual(matcher.push('more'), { text: '', stopped: true });
  t.equal(matcher.flush(), '');
  t.end();
});

test('stop texts must be texts', (t) => {
  for (const stop of ['', 5, null, undefined]) {
    try {
      new StopMatcher(['ok', stop as string]);
      t.fail(`${stop} was taken`);
    } catch (error) {
      t.ok(
        error instanceof KexaError && error.code === 'KEXA_INVALID_ARGUMENT' && error.message.startsWith('stop[1]'),
        String(error),
      );
    }
  }
  t.end();
});

test('it does not matter how a text with stops is cut up', (t) => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 }), {
    maxLength: 3,
  });
  let stopped = 0;
  const property = fc.property(letters, stops, cuts, (text, given, places) => {
    const whole = stopAt(given, [text]);
    if (whole.stopped) stopped++;
    const found = given.some((stop) => text.includes(stop));
    return (
      whole.stopped === found &&
      text.startsWith(whole.text) &&
      (found || whole.text === text) &&
      !given.some((stop) => whole.text.includes(stop)) &&
      [cut(text, places), text.split('')].every(
        (pieces) => JSON.stringify(stopAt(given, pieces)) === JSON.stringify(whole),
      )
    );
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 3000 }));
  t.ok(stopped > 100, `${stopped} texts were stopped`);
  t.end();
});

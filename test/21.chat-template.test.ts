/** Conversations to prompt texts: `applyChatTemplate`. Renderings are spelled out as the model expects them. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import { KexaError } from '../lib/errors.js';
import { ChatTemplate } from '../lib/text/chat-template.js';
import { Tokenizer } from '../lib/text/tokenizer.js';
import type { ChatTemplateOptions, Message, Tool } from '../lib/types.js';
import { modelFolder } from './support/goldens.js';

const user: Message = { role: 'user', content: '안녕?' };

const weather: Tool = {
  type: 'function',
  function: {
    name: 'weather',
    description: '날씨를 "바로" 알려 준다',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

let tokenizer: Tokenizer;
test('the template of the tiny model is read with its tokenizer', async (t) => {
  tokenizer = await Tokenizer.open(modelFolder('tiny'));
  t.equal(tokenizer.applyChatTemplate([user]), '<|user|>\n안녕?<|endofturn|>\n<|assistant|>\n<think>\n');
});

function renderWith(source: string, options?: ChatTemplateOptions, messages: Message[] = [user], config = {}): string {
  return new ChatTemplate({ folder: '/model', file: source, config }).render(messages, options);
}

function thrown(run: () => unknown): KexaError {
  try {
    run();
  } catch (error) {
    if (error instanceof KexaError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('turns follow each other and the prompt ends where the answer begins', (t) => {
  const messages: Message[] = [{ role: 'system', content: ' You are terse. \n' }, user];
  const turns = '<|system|>\nYou are terse.<|endofturn|>\n<|user|>\n안녕?<|endofturn|>\n';
  t.equal(tokenizer.applyChatTemplate(messages), `${turns}<|assistant|>\n<think>\n`, 'inside the thinking, by default');
  t.equal(tokenizer.applyChatTemplate(messages, { thinking: true }), `${turns}<|assistant|>\n<think>\n`);
  t.equal(tokenizer.applyChatTemplate(messages, { thinking: false }), `${turns}<|assistant|>\n<think>\n\n</think>\n\n`);
  t.equal(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: false }), turns);
  t.end();
});

test('tools come first, written as Python writes JSON', (t) => {
  t.equal(
    tokenizer.applyChatTemplate([user], { tools: [weather], thinking: false }),
    '<|tool_declare|>\n# Tools\n' +
      '<tool>{"type": "function", "function": {"name": "weather", "description": "날씨를 \\"바로\\" 알려 준다", ' +
      '"parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}</tool>\n' +
      '<|endofturn|>\n<|user|>\n안녕?<|endofturn|>\n<|assistant|>\n<think>\n\n</think>\n\n',
  );
  t.equal(tokenizer.applyChatTemplate([user], { tools: [] }), tokenizer.applyChatTemplate([user]), 'no tools, no turn');
  const undescribed = { type: 'function', function: { name: 'f', description: undefined } } as unknown as Tool;
  t.ok(
    tokenizer
      .applyChatTemplate([user], { tools: [undescribed] })
      .includes('<tool>{"type": "function", "function": {"name": "f"}}</tool>'),
    'undefined fields are left out',
  );
  t.end();
});

test('calls and their results are written back; the thinking of this turn is kept', (t) => {
  const messages: Message[] = [
    user,
    {
      role: 'assistant',
      content: '찾아볼게요.\n',
      reasoning: '날씨가 필요하다.',
      toolCalls: [
        { name: 'weather', arguments: { city: '서울', days: 2 } },
        { id: 'call_7', name: 'weather', arguments: { city: '부산' }, rawArguments: '{"city":"부산"}' },
      ],
    },
    { role: 'tool', content: '맑음' },
    { role: 'tool', content: '비' },
  ];
  t.equal(
    tokenizer.applyChatTemplate(messages),
    '<|user|>\n안녕?<|endofturn|>\n' +
      '<|assistant|>\n<think>\n날씨가 필요하다.\n</think>\n\n찾아볼게요.\n' +
      '<tool_call>{"name": "weather", "arguments": {"city": "서울", "days": 2}}</tool_call>\n' +
      '<tool_call>{"name": "weather", "arguments": {"city": "부산"}}</tool_call><|endofturn|>\n' +
      '<|tool|>\n<tool_result>맑음</tool_result>\n<tool_result>비</tool_result><|endofturn|>\n' +
      '<|assistant|>\n<think>\n',
  );
  t.end();
});

test('a call may come without content, and its arguments as JSON text', (t) => {
  const messages: Message[] = [
    user,
    { role: 'assistant', content: null, toolCalls: [{ name: 'weather', arguments: '{"city":"서울"}' }] },
  ];
  t.equal(
    tokenizer.applyChatTemplate(messages, { addGenerationPrompt: false }),
    '<|user|>\n안녕?<|endofturn|>\n<|assistant|>\n<think>\n\n</think>\n\n' +
      '<tool_call>{"name": "weather", "arguments": {"city": "서울"}}</tool_call><|endofturn|>\n',
  );
  t.end();
});

test('thinking before the last user message is left out', (t) => {
  const messages: Message[] = [
    user,
    { role: 'assistant', content: '네.', reasoning: '인사다.' },
    { role: 'user', content: '왜?' },
    { role: 'assistant', content: '그래서.', reasoning: '이유다.' },
  ];
  t.equal(
    tokenizer.applyChatTemplate(messages, { addGenerationPrompt: false }),
    '<|user|>\n안녕?<|endofturn|>\n<|assistant|>\n<think>\n\n</think>\n\n네.<|endofturn|>\n' +
      '<|user|>\n왜?<|endofturn|>\n<|assistant|>\n<think>\n이유다.\n</think>\n\n그래서.<|endofturn|>\n',
  );
  t.end();
});

test('templates see the names that Hugging Face defines', (t) => {
  const config = {
    bos_token: '[BOS]',
    eos_token: { content: '<|endofturn|>', special: true },
    pad_token: null,
    add_bos_token: false,
  };
  t.equal(
    renderWith(
      '{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}{{ add_bos_token is defined }}',
      {},
      [user],
      config,
    ),
    '[BOS]<|endofturn|>falsefalse',
  );
  t.equal(renderWith('{{ enable_thinking is defined }}'), 'false');
  t.equal(renderWith('{{ enable_thinking is defined }} {{ enable_thinking }}', { thinking: false }), 'true false');
  t.equal(renderWith('{{ add_generation_prompt }}', { addGenerationPrompt: false }), 'false');
  t.equal(renderWith('{% if tools %}yes{% else %}{{ tools is none }}{% endif %}'), 'true');
  const call: Message = { role: 'assistant', content: null, toolCalls: [{ name: 'f', arguments: {} }] };
  t.equal(
    renderWith('{{ messages | tojson }}', {}, [call, call]),
    '[{"role": "assistant", "content": null, "tool_calls": [{"type": "function", "id": "call_0", "function": {"name": "f", "arguments": {}}}]}, ' +
      '{"role": "assistant", "content": null, "tool_calls": [{"type": "function", "id": "call_1", "function": {"name": "f", "arguments": {}}}]}]',
  );
  t.equal(
    renderWith('{{ range(3) | tojson }}{{ range(5, 1, -2) | tojson }}{{ range(2, 2) | tojson }}'),
    '[0, 1, 2][5, 3][]',
  );
  t.equal(renderWith('{{ none is none }}{{ True }}{{ false }}'), 'truetruefalse');
  t.equal(renderWith('{{ messages[0].reasoning_content is defined }}'), 'false');
  t.end();
});

test('tojson and whitespace are as in Python', (t) => {
  const messages: Message[] = [
    {
      role: 'assistant',
      content: null,
      toolCalls: [{ name: 'f', arguments: { 가: [1, 2.5, true, null, 'a/"\n'], b: {} } }],
    },
  ];
  const value = 'messages[0].tool_calls[0].function.arguments';
  t.equal(renderWith(`{{ ${value} | tojson }}`, {}, messages), '{"가": [1, 2.5, true, null, "a/\\"\\n"], "b": {}}');
  t.equal(
    renderWith(`{{ ${value} | tojson(indent=2) }}`, {}, messages),
    '{\n  "가": [\n    1,\n    2.5,\n    true,\n    null,\n    "a/\\"\\n"\n  ],\n  "b": {}\n}',
  );
  t.equal(
    renderWith('a\n  {% if true %}\n  b\n  {% endif %}\nc\n'),
    'a\n  b\nc',
    'trim_blocks, lstrip_blocks, no last newline',
  );
  t.end();
});

test('the date is written in English whatever the machine speaks', (t) => {
  const written = renderWith("{{ strftime_now('%d %B %Y, %b %A %a %H:%M %j %%') }}");
  const months = 'January|February|March|April|May|June|July|August|September|October|November|December';
  const days = '(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day';
  const pattern = new RegExp(`^\\d\\d (${months}) \\d{4}, [A-Z][a-z]{2} ${days} [A-Z][a-z]{2} \\d\\d:\\d\\d %j %$`);
  t.match(written, pattern, written);
  t.end();
});

test('the file goes before the config, and tools choose their own template', (t) => {
  const list = [
    { name: 'default', template: 'plain' },
    { name: 'tool_use', template: 'with tools' },
  ];
  const config = (value: unknown) =>
    new ChatTemplate({ folder: '/model', file: undefined, config: { chat_template: value } });
  t.equal(config('from config').render([user]), 'from config');
  t.equal(config(list).render([user]), 'plain');
  t.equal(config(list).render([user], { tools: [] }), 'plain');
  t.equal(config(list).render([user], { tools: [weather] }), 'with tools');
  t.equal(config(list.slice(0, 1)).render([user], { tools: [weather] }), 'plain', 'the only one there is');
  t.equal(renderWith('from file', {}, [user], { chat_template: 'from config' }), 'from file');
  t.end();
});

test('a folder without a template opens, and says how to do without', async (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'kexa-template-'));
  t.teardown(() => rmSync(copy, { recursive: true }));
  cpSync(join(modelFolder('tiny'), 'tokenizer.json'), join(copy, 'tokenizer.json'));
  const bare = await Tokenizer.open(copy);
  const error = thrown(() => bare.applyChatTemplate([user]));
  t.equal(error.code, 'KEXA_BAD_TEMPLATE');
  t.ok(error.message.includes(copy) && error.message.includes('raw: true'), error.message);

  writeFileSync(join(copy, 'chat_template.jinja'), '{% for m in messages %}');
  const broken = await Tokenizer.open(copy);
  const compile = thrown(() => broken.applyChatTemplate([user]));
  t.equal(compile.code, 'KEXA_BAD_TEMPLATE');
  t.ok(compile.message.includes('does not compile'), compile.message);

  writeFileSync(join(copy, 'tokenizer_config.json'), '{');
  await Tokenizer.open(copy).then(
    () => t.fail('a broken config was taken'),
    (failure) => {
      t.equal(failure.code, 'KEXA_BAD_TOKENIZER');
      t.ok(failure.message.includes(join(copy, 'tokenizer_config.json')), failure.message);
    },
  );
});

test('a template that refuses or fails is named with its reason', (t) => {
  const refused = thrown(() => renderWith("{{ raise_exception('roles must alternate') }}"));
  t.equal(refused.code, 'KEXA_BAD_TEMPLATE');
  t.ok(refused.message.includes('refused the messages: roles must alternate'), refused.message);
  const failed = thrown(() => renderWith('{{ nothing.field.deeper() }}'));
  t.equal(failed.code, 'KEXA_BAD_TEMPLATE');
  t.ok(failed.message.includes('/model'), failed.message);
  t.end();
});

test('messages and tools of a wrong shape are refused by index and field', (t) => {
  const assistant = { role: 'assistant', content: 'a' };
  const cases: [string, unknown][] = [
    ['messages:', 'hello'],
    ['messages[1]:', [user, null]],
    ['messages[1].role', [user, { role: 'robot', content: 'x' }]],
    ['messages[0].content', [{ role: 'user' }]],
    ['messages[0].content', [{ role: 'user', content: null }]],
    ['messages[0].content', [{ role: 'assistant', content: [{ type: 'text', text: 'x' }] }]],
    ['messages[0].reasoning', [{ ...assistant, reasoning: 5 }]],
    ['messages[0].toolCalls', [{ ...assistant, toolCalls: {} }]],
    ['messages[0].toolCalls[0].name', [{ ...assistant, toolCalls: [{ arguments: {} }] }]],
    ['messages[0].toolCalls[0].arguments', [{ ...assistant, toolCalls: [{ name: 'f', arguments: { a: 1n } }] }]],
  ];
  for (const [where, messages] of cases) {
    const error = thrown(() => tokenizer.applyChatTemplate(messages as Message[]));
    t.equal(error.code, 'KEXA_INVALID_ARGUMENT');
    t.ok(error.message.startsWith(where), error.message);
  }
  const toolCases: [string, unknown][] = [
    ['tools[0].type', [{ name: 'f' }]],
    ['tools[1].function.name', [weather, { type: 'function', function: {} }]],
  ];
  for (const [where, tools] of toolCases) {
    const error = thrown(() => tokenizer.applyChatTemplate([user], { tools: tools as Tool[] }));
    t.equal(error.code, 'KEXA_INVALID_ARGUMENT');
    t.ok(error.message.startsWith(where), error.message);
  }
  t.end();
});

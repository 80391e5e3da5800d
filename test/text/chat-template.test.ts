/** Conversations to prompt texts: `applyChatTemplate`. Renderings are spelled out as the model expects them. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import test from 'tape';
import { KexaError } from '../../lib/errors.js';
import { ChatTemplate } from '../../lib/text/chat-template.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import type { ChatMessage, ChatTemplateOptions, Message, OpenAIMessage, Tool } from '../../lib/types.js';
import { editGguf, text } from '../support/gguf-edit.js';
import { modelFolder } from '../support/goldens.js';

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

/** The text that a template writes before the last message, which it must not leave out. */
function renderWith(
  source: string,
  options?: ChatTemplateOptions,
  messages: ChatMessage[] = [user],
  config = {},
): string {
  const file = `${source}\0{{ messages[-1].content }}{{ tools }}`;
  return new ChatTemplate({ folder: '/model', file, config }).render(messages, options).text.split('\0')[0]!;
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
    '[BOS]<|endofturn|>FalseFalse',
  );
  t.equal(renderWith('{{ enable_thinking is defined }}'), 'False');
  t.equal(renderWith('{{ enable_thinking is defined }} {{ enable_thinking }}', { thinking: false }), 'True False');
  t.equal(renderWith('{{ add_generation_prompt }}', { addGenerationPrompt: false }), 'False');
  t.equal(renderWith('{% if tools %}yes{% else %}{{ tools is none }}{% endif %}'), 'True');
  const call: Message = { role: 'assistant', content: null, toolCalls: [{ name: 'f', arguments: {} }] };
  t.equal(
    renderWith('{{ messages | tojson }}', {}, [call, call]),
    '[{"role": "assistant", "content": null, "tool_calls": [{"type": "function", "id": "call_0", "function": {"name": "f", "arguments": {}}}]}, ' +
      '{"role": "assistant", "content": null, "tool_calls": [{"type": "function", "id": "call_1", "function": {"name": "f", "arguments": {}}}]}]',
  );
  t.equal(renderWith('{{ range(3) | list }}{{ range(5, 1, -2) | list }}{{ range(2, 2) | list }}'), '[0, 1, 2][5, 3][]');
  t.equal(renderWith('{{ none is none }}{{ True }}{{ false }}'), 'TrueTrueFalse');
  t.equal(renderWith('{{ messages[0].reasoning_content is defined }}'), 'False');
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
  t.equal(renderWith('a\n  {% if true %}\n  b\n  {% endif %}\nc\n'), 'a\n  b\nc\n', 'trim_blocks, lstrip_blocks');
  t.end();
});

test('the date is written in English whatever the machine speaks', (t) => {
  const written = renderWith("{{ strftime_now('%d %B %Y, %b %A %a %H:%M %j %-d %%') }}");
  const months = 'January|February|March|April|May|June|July|August|September|October|November|December';
  const days = '(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day';
  const pattern = new RegExp(
    `^\\d\\d (${months}) \\d{4}, [A-Z][a-z]{2} ${days} [A-Z][a-z]{2} \\d\\d:\\d\\d \\d{3} \\d{1,2} %$`,
  );
  t.match(written, pattern, written);
  t.end();
});

test('the file goes before the config, and tools choose their own template', (t) => {
  const list = [
    { name: 'default', template: 'plain{{ messages[0].content }}' },
    { name: 'tool_use', template: 'with {{ tools[0].function.name }}{{ messages[0].content }}' },
  ];
  const render = (value: unknown, options?: ChatTemplateOptions) =>
    new ChatTemplate({ folder: '/model', file: undefined, config: { chat_template: value } })
      .render([user], options)
      .text.replace('안녕?', '');
  t.equal(render('from config{{ messages[0].content }}'), 'from config');
  t.equal(render(list), 'plain');
  t.equal(render(list, { tools: [] }), 'plain');
  t.equal(render(list, { tools: [weather] }), 'with weather');
  t.equal(renderWith('from file', {}, [user], { chat_template: 'from config' }), 'from file');
  const unnamed = thrown(() => render(list.slice(1)));
  t.ok(unnamed.message.includes("none named 'default', found tool_use"), unnamed.message);
  t.end();
});

test('templates of other names are found where each kind of model has them', async (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'kexa-template-'));
  t.teardown(() => rmSync(copy, { recursive: true }));
  const plain = '\ufeff{% for m in messages %}\r\n<{{ m.role }}>\r\n{{ m.content }}\r\n{% endfor %}\r\n';
  const withTools = '{{ tools[0].function.name }}!{{ messages[0].content }}';
  cpSync(join(modelFolder('tiny'), 'tokenizer.json'), join(copy, 'tokenizer.json'));
  writeFileSync(join(copy, 'chat_template.jinja'), plain);
  mkdirSync(join(copy, 'additional_chat_templates'));
  writeFileSync(join(copy, 'additional_chat_templates', 'tool_use.jinja'), withTools);
  const gguf = new URL('../models/gguf/q2_k.gguf', import.meta.url).pathname;
  const key = 'tokenizer.chat_template';
  const edited = (name: string, entries: [string, string][]) =>
    editGguf(gguf, join(copy, name), ({ keys }) => {
      keys.delete(key);
      for (const [field, value] of entries) keys.set(field, text(value));
    });
  const beside = edited('beside.gguf', [
    [key, plain],
    [`${key}.tool_use`, withTools],
  ]);
  const named = edited('named.gguf', [
    [`${key}.default`, plain],
    [`${key}.tool_use`, withTools],
  ]);
  for (const model of [copy, beside, named]) {
    const read = await Tokenizer.open(model);
    t.equal(read.applyChatTemplate([user]), '<user>\n안녕?\n', 'the default, saved on Windows');
    t.equal(read.applyChatTemplate([user], { tools: [weather] }), 'weather!안녕?', 'that for tools');
  }
  const only = await Tokenizer.open(edited('only.gguf', [[`${key}.rag`, plain]]));
  const error = thrown(() => only.applyChatTemplate([user]));
  t.ok(error.message.includes("none named 'default', found rag"), error.message);
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
  const endless: unknown[] = [];
  endless.push(endless);
  const cases: [string, unknown][] = [
    ['messages:', 'hello'],
    ['messages[1]:', [user, null]],
    ['messages[1].role', [user, { role: 'robot', content: 'x' }]],
    ['messages[0].content', [{ role: 'user' }]],
    ['messages[0].content', [{ role: 'user', content: null }]],
    ['messages[0].content', [{ role: 'assistant' }]],
    ['messages[0].content[1].type', [{ role: 'user', content: [{ type: 'text', text: 'x' }, { type: 'image_url' }] }]],
    ['messages[0].content[0].text', [{ role: 'user', content: [{ type: 'text' }] }]],
    ['messages[0].role', [{ role: 'developer', content: 'x' }]],
    ['messages[0].function_call', [{ ...assistant, function_call: { name: 'f', arguments: '{}' } }]],
    ['messages[0].images', [{ role: 'user', content: 'x', images: ['a.png'] }]],
    ['messages[0].tool_calls', [{ ...assistant, toolCalls: [{ name: 'f' }], tool_calls: [{ name: 'f' }] }]],
    ['messages[0].reasoning_content', [{ ...assistant, reasoning: 'a', reasoning_content: 'b' }]],
    ['messages[0].tool_calls[0].type', [{ ...assistant, tool_calls: [{ type: 'custom', custom: {} }] }]],
    ['messages[0].tool_calls[0].function.name', [{ ...assistant, tool_calls: [{ function: {} }] }]],
    ['messages[0].tool_call_id', [{ role: 'tool', content: 'x', tool_call_id: 5 }]],
    ['messages[0].reasoning', [{ ...assistant, reasoning: 5 }]],
    ['messages[0].toolCalls', [{ ...assistant, toolCalls: {} }]],
    ['messages[0].toolCalls[0].name', [{ ...assistant, toolCalls: [{ arguments: {} }] }]],
    ['messages[0].toolCalls[0].arguments', [{ ...assistant, toolCalls: [{ name: 'f', arguments: { a: endless } }] }]],
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

test('options of other names are refused with the right one', (t) => {
  const cases: [string, object][] = [
    ['use thinking', { enable_thinking: false }],
    ['use addGenerationPrompt', { add_generation_prompt: false }],
    ['there are thinking, tools and addGenerationPrompt', { tokenize: false }],
    ['thinking: wanted true or false', { thinking: 'no' }],
    ['wanted an object of options', null as unknown as object],
  ];
  for (const [wanted, options] of cases) {
    const error = thrown(() => tokenizer.applyChatTemplate([user], options as ChatTemplateOptions));
    t.equal(error.code, 'KEXA_INVALID_ARGUMENT');
    t.ok(error.message.includes(wanted), error.message);
  }
  t.end();
});

test('the messages of the OpenAI API are what they mean', (t) => {
  const own: Message[] = [
    { role: 'system', content: 'Be brief.' },
    user,
    {
      role: 'assistant',
      content: null,
      reasoning: '날씨.',
      toolCalls: [{ id: 'call_9', name: 'weather', arguments: { city: '서울', days: 2 } }],
    },
    { role: 'tool', content: '맑음' },
    { role: 'assistant', content: '맑아요.' },
    user,
  ];
  const openai: OpenAIMessage[] = [
    {
      role: 'system',
      content: [
        { type: 'text', text: 'Be ' },
        { type: 'text', text: 'brief.' },
      ],
    },
    { role: 'user', content: '안녕?' },
    {
      role: 'assistant',
      content: null,
      refusal: null,
      reasoning_content: '날씨.',
      tool_calls: [
        { id: 'call_9', type: 'function', function: { name: 'weather', arguments: '{"city": "서울", "days": 2}' } },
      ],
    },
    { role: 'tool', content: '맑음', tool_call_id: 'call_9' },
    { role: 'assistant', content: '맑아요.', tool_calls: [] },
    { role: 'user', content: '안녕?' },
  ];
  t.equal(tokenizer.applyChatTemplate(openai), tokenizer.applyChatTemplate(own));
  const asked = renderWith('{{ messages|tojson }}', {}, openai.slice(2, 4));
  t.equal(
    asked,
    '[{"role": "assistant", "content": null, "reasoning_content": "날씨.", "tool_calls": [{"type": "function", "id": "call_9", ' +
      '"function": {"name": "weather", "arguments": {"city": "서울", "days": 2}}}]}, ' +
      '{"role": "tool", "content": "맑음", "tool_call_id": "call_9"}]',
  );
  t.equal(
    renderWith('{{ messages[0].tool_call_id }}{{ messages[0].name }}', {}, [
      { role: 'tool', content: 'x', toolCallId: 'c', name: 'n' },
    ]),
    'cn',
  );
  const developer: OpenAIMessage[] = [{ role: 'developer', content: 'Be brief.' }, user as OpenAIMessage];
  const template = "{% for m in messages %}{{ '!' if m.role == 'developer' }}{{ m.content }}{% endfor %}";
  t.equal(
    new ChatTemplate({ folder: '/model', file: template, config: {} }).render(developer).text,
    '!Be brief.안녕?',
    'a template that knows the role is given it',
  );
  t.end();
});

test('numbers of arguments keep every digit', (t) => {
  const json = '{"id": 12345678901234567890, "ratio": 1.0, "big": 1e400}';
  const render = (call: object) =>
    renderWith('{{ messages[0].tool_calls[0].function.arguments|tojson }}', {}, [
      { role: 'assistant', content: 'x', toolCalls: [call] } as Message,
    ]);
  t.equal(render({ name: 'f', arguments: json }), '{"id": 12345678901234567890, "ratio": 1.0, "big": Infinity}');
  t.equal(
    render({ name: 'f', arguments: JSON.parse(json), rawArguments: json }),
    '{"id": 12345678901234567890, "ratio": 1.0, "big": Infinity}',
    'as the model wrote them, where that says the same',
  );
  t.equal(
    render({ name: 'f', arguments: { id: 5 }, rawArguments: '{"id": 6}' }),
    '{"id": 5}',
    'but what the caller changed counts',
  );
  t.equal(render({ name: 'f', arguments: { id: 2n ** 64n } }), '{"id": 18446744073709551616}');
  t.equal(render({ name: 'f', arguments: 'no JSON' }), '"no JSON"');
  t.end();
});

test('a system message, a tool or the last question that a template leaves out is an error', (t) => {
  const render = (source: string, messages: ChatMessage[], tools?: Tool[]) =>
    new ChatTemplate({ folder: '/model', file: source, config: {} }).render(messages, tools ? { tools } : {}).text;
  const users = "{% for m in messages if m.role != 'system' %}{{ m.content|trim }}{% endfor %}";
  const system: Message = { role: 'system', content: 'Be brief.' };
  const cases: [string, string, ChatMessage[], Tool[]?][] = [
    ["messages[0], of role 'system'", users, [system, user]],
    ["messages[1], of role 'system'", `${users}{{ messages[0].content }}`, [system, system, user]],
    ['tools[0], "weather"', users, [user], [weather]],
    ["messages[1], the user's last", '{{ messages[0].content }}', [user, user]],
  ];
  for (const [wanted, source, messages, tools] of cases) {
    const error = thrown(() => render(source, messages, tools));
    t.equal(error.code, 'KEXA_BAD_TEMPLATE');
    t.ok(error.message.includes(`leaves out ${wanted}`), error.message);
  }
  t.equal(render(users, [{ role: 'system', content: ' \n' }, user]), '안녕?', 'nothing is lost of a blank one');
  t.equal(render('{{ messages[-1].content }}', [user, { role: 'assistant', content: 'a' }, user]), '안녕?');
  t.equal(render('{{ messages[0].content|upper ~ messages[1].content }}', [system, user]), 'BE BRIEF.안녕?');
  t.end();
});

test('what a template has and this version has not is another error', (t) => {
  const error = thrown(() => renderWith('a\n{% include "x" %}'));
  t.equal(error.code, 'KEXA_UNSUPPORTED');
  t.ok(
    error.message.includes(
      "/model: the chat template uses what this version does not have: line 2: the statement 'include'",
    ),
    error.message,
  );
  t.end();
});

test('long conversations are rendered without holding the event loop', async (t) => {
  const messages: Message[] = Array.from({ length: 4_001 }, (_, i) => ({
    role: i % 2 ? 'assistant' : 'user',
    content: `message ${i} `.repeat(10),
  }));
  const loop = monitorEventLoopDelay({ resolution: 1 });
  await tokenizer.renderChat(messages);
  // A busy machine holds the loop too, so the best of some rounds counts.
  let longest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 8 && longest > 50; round++) {
    loop.reset();
    loop.enable();
    const { text } = await tokenizer.renderChat(messages);
    await setTimeout(5);
    loop.disable();
    longest = Math.min(longest, loop.max / 1e6);
    if (round === 0) t.equal(text, tokenizer.applyChatTemplate(messages), 'the same text');
  }
  t.ok(longest <= 50, `${longest.toFixed(1)} ms at most`);
  const controller = new AbortController();
  const aborted = tokenizer.renderChat(messages, {}, controller.signal);
  controller.abort(new Error('enough'));
  await aborted.then(
    () => t.fail('it went on'),
    (error) => t.equal(error.message, 'enough'),
  );
});

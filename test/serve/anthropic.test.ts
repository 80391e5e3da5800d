/** Messages of Anthropic's API, through its own client. */
import Anthropic from '@anthropic-ai/sdk';
import test from 'tape';
import { callArguments, callingFields, startCallingServer, weatherTool } from '../support/calling-model.js';
import { ask, startServer, startWithModel } from '../support/server.js';

const content = 'How do I insert a table?';
const messages = [{ role: 'user' as const, content }];
const budget = { type: 'enabled' as const, budget_tokens: 1024 };

test("a message has the library's thinking and text as blocks, whole and streamed", async (t) => {
  const { model, server } = await startWithModel(t, { apiKeys: ['secret'] });
  const client = new Anthropic({ baseURL: server.url, apiKey: 'secret', maxRetries: 0 });
  const system = 'Answer in one sentence.';
  for (const [maxTokens, stop] of [
    [300, undefined],
    [300, ' the'],
    [5, undefined],
  ] as const) {
    const wanted = await model.generate([{ role: 'system', content: system }, ...messages], {
      ...{ seed: 6, maxTokens, thinking: true },
      ...(stop !== undefined && { stop }),
    });
    const body = {
      ...{ model: 'model', messages, max_tokens: maxTokens, thinking: budget, seed: 6 },
      system: [{ type: 'text' as const, text: system }],
      ...(stop !== undefined && { stop_sequences: [stop] }),
    };
    const whole = await client.messages.create(body);
    const stream = client.messages.stream(body);
    let streamed = '';
    stream.on('text', (text) => {
      streamed += text;
    });
    for (const message of [whole, await stream.finalMessage()]) {
      const blocks = message.content.map((block) =>
        block.type === 'thinking' ? block.thinking : block.type === 'text' ? block.text : '',
      );
      t.deepEqual(blocks.filter(Boolean), [wanted.reasoning, wanted.text].filter(Boolean));
      const reason =
        wanted.stopText !== undefined
          ? 'stop_sequence'
          : { length: 'max_tokens', stop: 'end_turn' }[wanted.finishReason as 'length' | 'stop'];
      t.deepEqual([message.stop_reason, message.stop_sequence], [reason, wanted.stopText ?? null]);
      const { usage } = message;
      t.equal(usage.input_tokens + (usage.cache_read_input_tokens ?? 0), wanted.usage.promptTokens);
      t.equal(usage.output_tokens, wanted.usage.completionTokens);
    }
    t.equal(streamed, wanted.text);
    const { input_tokens: counted } = await client.messages.countTokens({
      ...{ model: 'model', messages, system, thinking: budget },
    });
    t.equal(counted, wanted.usage.promptTokens, 'tokens are counted before');
  }
});

test('a tool is called, and its result goes back', async (t) => {
  const server = await startCallingServer(t);
  const client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
  const { chat_template_kwargs: _, ...fields } = callingFields;
  const { name, description, parameters } = weatherTool.function;
  const body = {
    ...{ model: 'model', max_tokens: 20, messages, thinking: { type: 'disabled' as const }, ...fields },
    tools: [{ name, description, input_schema: parameters as Anthropic.Tool.InputSchema }],
  };
  const whole = await client.messages.create(body);
  const stream = client.messages.stream(body);
  const parts: string[] = [];
  stream.on('inputJson', (part) => parts.push(part));
  for (const message of [whole, await stream.finalMessage()]) {
    const [call] = message.content as [Anthropic.ToolUseBlock];
    t.deepEqual([message.content.length, call.type, call.name], [1, 'tool_use', 'weather']);
    t.deepEqual(call.input, JSON.parse(callArguments));
    t.equal(message.stop_reason, 'tool_use');
  }
  t.ok(parts.length > 1, `the input comes in ${parts.length} parts`);
  const [call] = whole.content as [Anthropic.ToolUseBlock];
  const next = await client.messages.create({
    ...body,
    messages: [
      ...messages,
      { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: '' }, call] },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: call.id, content: [{ type: 'text', text: 'sunny' }] },
          { type: 'text', text: 'So?' },
        ],
      },
    ],
  });
  t.equal(next.stop_reason, 'end_turn');
});

test("errors have Anthropic's shape", async (t) => {
  const server = await startServer(t, { apiKeys: ['secret'] });
  const client = new Anthropic({ baseURL: server.url, apiKey: 'secret', maxRetries: 0 });
  const refused = async (request: Promise<unknown>) => {
    try {
      await request;
      return null;
    } catch (error) {
      return error;
    }
  };
  const other = new Anthropic({ baseURL: server.url, apiKey: 'wrong', maxRetries: 0 });
  const body = { model: 'tiny', max_tokens: 5, messages };
  t.ok((await refused(other.messages.create(body))) instanceof Anthropic.AuthenticationError);
  t.ok((await refused(client.messages.create({ ...body, model: 'claude' }))) instanceof Anthropic.NotFoundError);
  const image = { type: 'image', source: { type: 'url', url: 'https://example.org/a.png' } };
  const cases: [body: object, told: string][] = [
    [{ messages }, 'max_tokens'],
    [{ ...body, messages: [{ role: 'user', content: [image] }] }, 'messages[0].content[0].type'],
    [{ ...body, messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
    [{ ...body, tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'tools[0].type'],
  ];
  for (const [wrong, told] of cases) {
    const { status, body: found } = await ask(server, '/v1/messages', wrong, { 'x-api-key': 'secret' });
    t.equal(status, 400);
    t.deepEqual([found.type, found.error.type], ['error', 'invalid_request_error']);
    t.ok(found.error.message.startsWith(`${told}: `), found.error.message);
  }
});

/** Chat completions over HTTP: answers are those of the library, whole and streamed, and wrong requests are told why. */
import test from 'tape';
import { ask, askStream, startServer, startWithModel } from '../support/server.js';

const messages = [{ role: 'user' as const, content: 'How do I insert a table?' }];
const path = '/v1/chat/completions';

test("an answer is the library's, whole and streamed", async (t) => {
  const { model, server } = await startWithModel(t);
  for (const thinking of [true, false]) {
    const wanted = await model.generate(messages, { seed: 7, maxTokens: 40, thinking, logprobs: 2 });
    const body = {
      ...{ messages, seed: 7, max_tokens: 40, logprobs: true, top_logprobs: 2 },
      chat_template_kwargs: { enable_thinking: thinking },
    };
    const whole = await ask(server, path, body);
    t.equal(whole.status, 200);
    const [choice] = whole.body.choices;
    t.equal(choice.message.content, wanted.text);
    t.equal(choice.message.reasoning ?? '', wanted.reasoning, 'thinking');
    t.equal(choice.message.reasoning_content ?? '', wanted.reasoning, 'under its other name, too');
    t.equal(choice.finish_reason, wanted.finishReason);
    t.deepEqual(
      choice.logprobs.content.map(({ logprob }: { logprob: number }) => logprob),
      wanted.logprobs!.map(({ logprob }) => logprob),
      'log-probabilities to the bit',
    );
    t.equal(whole.body.usage.completion_tokens, wanted.ids.length);
    const chunks = await askStream(server, path, { ...body, stream_options: { include_usage: true } });
    const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }: { delta: object }) => delta));
    t.deepEqual(deltas[0], { role: 'assistant', content: '' }, 'the first delta');
    t.equal(deltas.map(({ content }) => content ?? '').join(''), wanted.text, 'the text of all deltas');
    t.equal(deltas.map(({ reasoning }) => reasoning ?? '').join(''), wanted.reasoning);
    t.equal(chunks.at(-2).choices[0].finish_reason, wanted.finishReason);
    t.deepEqual(chunks.at(-1).choices, []);
    t.equal(chunks.at(-1).usage.completion_tokens, wanted.ids.length);
    t.ok(
      chunks.slice(0, -1).every(({ usage }) => usage === null),
      'other chunks have no usage',
    );
  }
});

test('several choices have the seeds that follow', async (t) => {
  const server = await startServer(t);
  const body = { messages, max_tokens: 20 };
  const { body: several } = await ask(server, path, { ...body, seed: 5, n: 3 });
  for (const [i, { index, message }] of several.choices.entries()) {
    t.equal(index, i);
    const { body: one } = await ask(server, path, { ...body, seed: 5 + i });
    t.deepEqual(one.choices[0].message, message, `choice ${i}`);
  }
});

test("a conversation's next turn finds the turns before in the cache, whoever asks", async (t) => {
  const server = await startServer(t);
  const body = { messages, max_tokens: 20, temperature: 0, chat_template_kwargs: { enable_thinking: false } };
  const first = (await ask(server, path, body)).body;
  t.equal(first.usage.prompt_tokens_details.cached_tokens, 0);
  const reply = { role: 'assistant', content: first.choices[0].message.content };
  const turns = [...messages, reply, { role: 'user', content: 'And a row?' }];
  const { usage } = (await ask(server, path, { ...body, messages: turns })).body;
  const cached = usage.prompt_tokens_details.cached_tokens;
  t.ok(
    cached >= first.usage.prompt_tokens - 8,
    `${cached} of ${usage.prompt_tokens} tokens, ${first.usage.prompt_tokens} came before`,
  );
});

test('what is wrong with a request is told by the name of the field', async (t) => {
  const server = await startServer(t);
  const cases: [body: unknown, status: number, param: string | null, code: string][] = [
    ['{', 400, null, 'invalid_json'],
    ['[]', 400, null, 'invalid_json'],
    [`{"a":${'['.repeat(65)}${']'.repeat(65)}}`, 400, null, 'invalid_json'],
    [{}, 400, 'messages', 'invalid_value'],
    [{ messages: [] }, 400, 'messages', 'invalid_value'],
    [{ messages: ['x'] }, 400, 'messages[0]', 'invalid_value'],
    [{ messages: [{ role: 'user' }] }, 400, 'messages[0].content', 'invalid_value'],
    [{ messages: [{ role: 'cat', content: 'x' }] }, 400, 'messages[0].role', 'invalid_value'],
    [{ messages, model: 'other' }, 404, 'model', 'model_not_found'],
    [{ messages, temperature: 'hot' }, 400, 'temperature', 'invalid_value'],
    [{ messages, temperature: 2.1 }, 400, 'temperature', 'invalid_value'],
    [{ messages, n: 0 }, 400, 'n', 'invalid_value'],
    [{ messages, top_logprobs: 3 }, 400, 'top_logprobs', 'invalid_value'],
    [{ messages, stop: ['a', 5] }, 400, 'stop', 'invalid_value'],
    [{ messages, logit_bias: { x: 1 } }, 400, 'logit_bias.x', 'invalid_value'],
    [{ messages, functions: [{ name: 'f' }] }, 400, 'functions', 'unsupported'],
    [{ messages, stop_token_ids: [5] }, 400, 'stop_token_ids', 'unsupported'],
    [{ messages, tools: [{ type: 'web' }] }, 400, 'tools[0].type', 'invalid_value'],
    [{ messages: [{ role: 'user', content: 'long '.repeat(9000) }] }, 400, 'messages', 'context_length_exceeded'],
  ];
  for (const [body, status, param, code] of cases) {
    const found = await ask(server, path, body);
    const { error } = found.body;
    t.deepEqual([found.status, error.param, error.code], [status, param, code], error.message);
    t.ok(found.headers.get('x-request-id'), 'and has a name');
  }
});

test('fields that nobody knows are passed over, or refused by a strict server', async (t) => {
  const body = { messages, max_tokens: 2, user: 'me', nonsense: 1 };
  t.equal((await ask(await startServer(t), path, body)).status, 200);
  const strict = await ask(await startServer(t, { strictFields: true }), path, body);
  t.deepEqual([strict.status, strict.body.error.param, strict.body.error.code], [400, 'nonsense', 'unknown_field']);
});

test('thinking goes where the request wants it', async (t) => {
  const server = await startServer(t, { reasoningField: 'reasoning' });
  const body = { messages, seed: 3, max_tokens: 60, chat_template_kwargs: { enable_thinking: true } };
  const messageOf = async (fields: object) => (await ask(server, path, { ...body, ...fields })).body.choices[0].message;
  const apart = await messageOf({});
  t.ok(apart.reasoning.length > 10 && !('reasoning_content' in apart), 'under the one name');
  const inText = await messageOf({ parse_reasoning: false });
  t.ok(inText.content.startsWith(`<think>\n${apart.reasoning}`), 'in the text');
  t.notOk('reasoning' in inText);
  const chunks = await askStream(server, path, { ...body, separate_reasoning: false });
  const texts = chunks.map(({ choices }) => choices[0].delta.content ?? '');
  t.equal(texts.join(''), inText.content, 'in the text of a stream');
  const without = await messageOf({ include_reasoning: false });
  t.equal(without.content, apart.content);
  t.notOk('reasoning' in without, 'left out');
});

/** The server through OpenAI's own client. */
import OpenAI from 'openai';
import test from 'tape';
import type { ServeOptions } from '../../lib/serve/index.js';
import { callArguments, callingFields, startCallingServer, weatherTool } from '../support/calling-model.js';
import { startWithModel } from '../support/server.js';

const content = 'How do I insert a table?';
const messages = [{ role: 'user' as const, content }];
const fields = { model: 'model', messages, seed: 6, max_completion_tokens: 200 };

/** A server of the tiny model, and a client of it that counts its requests. */
async function connect(t: test.Test, options: ServeOptions = {}) {
  const { model, server } = await startWithModel(t, { names: ['model'], ...options });
  let requests = 0;
  const counting: typeof fetch = (...args) => {
    requests++;
    return fetch(...args);
  };
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'key', fetch: counting });
  return { model, client, requests: () => requests };
}

test("OpenAI's client lists models, chats and streams", async (t) => {
  const { model, client } = await connect(t);
  const listed = [];
  for await (const { id } of client.models.list()) listed.push(id);
  t.deepEqual(listed, ['model']);
  t.equal((await client.models.retrieve('model')).object, 'model');

  const wanted = await model.generate(messages, { seed: 6, maxTokens: 200, logprobs: 2 });
  const whole = await client.chat.completions.create({ ...fields, logprobs: true, top_logprobs: 2 });
  t.equal(whole.choices[0]!.message.content, wanted.text);
  const { content: logged } = whole.choices[0]!.logprobs!;
  t.deepEqual(
    logged!.map(({ logprob }) => logprob),
    wanted.logprobs!.map(({ logprob }) => logprob),
    "log-probabilities are the library's",
  );
  t.ok(logged!.every(({ token, bytes }) => Buffer.from(bytes!).toString() === token));
  const again = await client.chat.completions.create(fields);
  t.equal(again.choices[0]!.message.content, wanted.text, 'one seed gives one answer');

  const stream = client.chat.completions.stream({ ...fields, stream_options: { include_usage: true } });
  let streamed = '';
  stream.on('content', (delta) => {
    streamed += delta;
  });
  const final = await stream.finalChatCompletion();
  t.deepEqual([streamed, final.choices[0]!.message.content], [wanted.text, wanted.text]);
  t.equal(final.choices[0]!.finish_reason, wanted.finishReason);
  t.equal(final.usage!.completion_tokens, wanted.ids.length);

  const several = await client.chat.completions.create({ ...fields, n: 3 });
  t.equal(several.choices[0]!.message.content, wanted.text);
  t.equal(new Set(several.choices.map(({ message }) => message.content)).size, 3, 'three answers differ');
  const [start] = wanted.text.split(' the');
  const stopped = await client.chat.completions.create({ ...fields, stop: [' the'] });
  t.deepEqual([stopped.choices[0]!.message.content, stopped.choices[0]!.finish_reason], [start, 'stop']);
});

test("OpenAI's client completes texts and makes responses", async (t) => {
  const { model, client } = await connect(t, { storeResponses: 10 });
  const prompt = 'In the beginning God';
  const { text } = await model.generate(prompt, { raw: true, seed: 3, maxTokens: 8, ignoreEos: true });
  const completion = { model: 'model', prompt, seed: 3, max_tokens: 8, echo: true, logprobs: 1, ignore_eos: true };
  const completed = await client.completions.create(completion);
  t.equal(completed.choices[0]!.text, prompt + text);
  const { tokens, token_logprobs: logprobs } = completed.choices[0]!.logprobs!;
  t.equal(tokens!.length, model.tokenizer.encode(prompt).length + 8);
  t.deepEqual([logprobs!.length, logprobs![0]], [tokens!.length, null]);
  let streamed = '';
  for await (const chunk of await client.completions.create({ ...completion, stream: true }))
    streamed += chunk.choices[0]?.text ?? '';
  t.equal(streamed, prompt + text);

  const wanted = await model.generate(messages, { seed: 6, maxTokens: 200 });
  const request = { model: 'model', input: content, seed: 6, max_output_tokens: 200 };
  const response = await client.responses.create(request);
  t.deepEqual([response.output_text, response.status], [wanted.text, 'completed']);
  const stream = client.responses.stream(request);
  const types: string[] = [];
  stream.on('event', ({ type }) => types.push(type));
  const final = await stream.finalResponse();
  t.equal(final.output_text, wanted.text);
  t.ok(types.includes('response.reasoning_text.delta') && types.at(-1) === 'response.completed');
  const next = await client.responses.create({ ...request, input: 'And a row?', previous_response_id: response.id });
  t.equal(next.previous_response_id, response.id);
  t.equal((await client.responses.retrieve(next.id)).output_text, next.output_text);
});

test("OpenAI's client runs tools", async (t) => {
  const server = await startCallingServer(t);
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'key' });
  const given: unknown[] = [];
  const runner = client.chat.completions.runTools({
    ...{ model: 'model', messages, stream: true as const, ...callingFields },
    tools: [
      {
        type: 'function',
        function: {
          ...weatherTool.function,
          parse: JSON.parse,
          function: (values: unknown) => {
            given.push(values);
            return 'sunny';
          },
        },
      },
    ],
  });
  const final = await runner.finalChatCompletion();
  t.deepEqual(given, [JSON.parse(callArguments)], 'the tool ran once');
  t.deepEqual(
    runner.messages.map(({ role }) => role),
    ['user', 'assistant', 'tool', 'assistant'],
  );
  t.equal(final.choices[0]!.finish_reason, 'stop');

  const tool = { type: 'function' as const, strict: false, ...weatherTool.function };
  const stream = client.responses.stream({ model: 'model', input: content, tools: [tool], ...callingFields });
  const response = await stream.finalResponse();
  const [call] = response.output;
  t.ok(call?.type === 'function_call' && call.arguments === callArguments, 'and a response calls it, too');
});

test('errors are those of the client, and only those that may pass are tried again', async (t) => {
  const { client, requests } = await connect(t, { apiKeys: ['key'], maxQueue: 0 });
  const cases: [error: unknown, request: () => Promise<unknown>, tries: number][] = [
    [OpenAI.BadRequestError, () => client.chat.completions.create({ ...fields, temperature: 5 }), 1],
    [OpenAI.NotFoundError, () => client.chat.completions.create({ ...fields, model: 'other' }), 1],
    [OpenAI.AuthenticationError, () => client.withOptions({ apiKey: 'x' }).models.list(), 1],
    [OpenAI.BadRequestError, () => client.chat.completions.create({ ...fields, stream: true, n: 9 }), 1],
  ];
  for (const [wanted, request, tries] of cases) {
    const before = requests();
    const error = await request().then(
      () => null,
      (reason) => reason,
    );
    t.ok(error instanceof (wanted as typeof OpenAI.APIError), `${error}`);
    t.equal(requests() - before, tries);
  }
  // 16 slots and no place to wait in: with sixteen answers running, another one is refused.
  const long = { ...fields, max_completion_tokens: 400, ignore_eos: true, n: 8, stream: true as const };
  const running = [await client.chat.completions.create(long), await client.chat.completions.create(long)];
  const before = requests();
  const busy = await client.chat.completions.create(fields, { maxRetries: 1 }).then(
    () => null,
    (reason) => reason,
  );
  t.ok(busy instanceof OpenAI.RateLimitError, `${busy}`);
  t.equal(requests() - before, 2, 'a full queue is tried again');
  for (const stream of running) stream.controller.abort();
});

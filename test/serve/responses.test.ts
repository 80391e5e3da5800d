/** Responses: their items whole, their events in order, and those that are kept. */
import test from 'tape';
import { callArguments, callingFields, startCallingServer, weatherTool } from '../support/calling-model.js';
import { ask, askStream, type Json, startServer, startWithModel } from '../support/server.js';

const path = '/v1/responses';
const input = 'How do I insert a table?';
/** A request in which the model thinks and then answers. */
const thinking = { input, seed: 6, chat_template_kwargs: { enable_thinking: true } };

const withoutIds = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll(/"\w+_\w{24,32}"/g, '"id"'));

test("a response has the library's thinking and text as items", async (t) => {
  const { model, server } = await startWithModel(t);
  const messages = [{ role: 'user' as const, content: input }];
  for (const maxTokens of [300, 5]) {
    const wanted = await model.generate(messages, { seed: 6, maxTokens, thinking: true, logprobs: 1 });
    const fields = { ...thinking, max_output_tokens: maxTokens, top_logprobs: 1 };
    const { status, body } = await ask(server, path, fields);
    t.equal(status, 200);
    const isCut = wanted.finishReason === 'length';
    t.equal(body.status, isCut ? 'incomplete' : 'completed');
    t.deepEqual(body.incomplete_details, isCut ? { reason: 'max_output_tokens' } : null);
    t.equal(body.output[0].content[0].text, wanted.reasoning);
    t.equal(body.output[1]?.content[0].text ?? '', wanted.text);
    const logged: Json[] = body.output[1]?.content[0].logprobs ?? [];
    t.deepEqual(
      logged.map(({ logprob }) => logprob),
      wanted.logprobs!.slice(wanted.logprobs!.length - logged.length).map(({ logprob }) => logprob),
      'log-probabilities of the text, to the bit',
    );
    t.deepEqual(
      [body.usage.input_tokens, body.usage.output_tokens],
      [wanted.usage.promptTokens, wanted.usage.completionTokens],
    );

    const events = await askStream(server, path, fields);
    t.deepEqual(
      events.map(({ sequence_number: number }) => number),
      events.map((_, i) => i),
      'events are numbered',
    );
    const part = ['output_item.added', 'content_part.added'];
    const partEnd = ['content_part.done', 'output_item.done'];
    const message = isCut ? [] : [...part, 'output_text.delta', 'output_text.done', ...partEnd];
    t.deepEqual(
      events.map(({ type }) => type.slice('response.'.length)).filter((type, i, all) => type !== all[i - 1]),
      [
        ...['created', 'in_progress', ...part, 'reasoning_text.delta', 'reasoning_text.done', ...partEnd],
        ...message,
        isCut ? 'incomplete' : 'completed',
      ],
      'in this order',
    );
    const joined = (type: string) =>
      events
        .filter((event) => event.type === type)
        .map(({ delta }) => delta)
        .join('');
    t.equal(joined('response.reasoning_text.delta'), wanted.reasoning);
    t.equal(joined('response.output_text.delta'), wanted.text);
    const { response } = events.at(-1);
    if (!isCut) t.deepEqual(withoutIds(response.output), withoutIds(body.output), 'the same items in the end');
  }
});

test('calls are items, and go back with their results', async (t) => {
  const server = await startCallingServer(t);
  const tool = { type: 'function', ...weatherTool.function };
  const fields = { input, tools: [tool], ...callingFields };
  const { body } = await ask(server, path, fields);
  t.equal(body.output.length, 1);
  const [call] = body.output;
  t.deepEqual(
    [call.type, call.name, call.arguments, call.status],
    ['function_call', 'weather', callArguments, 'completed'],
  );
  const events = await askStream(server, path, fields);
  const deltas = events.filter(({ type }) => type === 'response.function_call_arguments.delta');
  t.ok(deltas.length > 1, `arguments come in ${deltas.length} parts`);
  t.equal(deltas.map(({ delta }) => delta).join(''), callArguments);
  const added = events.find(({ type }) => type === 'response.output_item.added');
  t.deepEqual([added.item.name, added.item.arguments], ['weather', '']);
  const next = await ask(server, path, {
    ...fields,
    input: [
      { role: 'user', content: input },
      ...body.output,
      { type: 'function_call_output', call_id: call.call_id, output: 'sunny' },
    ],
  });
  t.deepEqual([next.status, next.body.status], [200, 'completed']);
});

test('responses are kept where the server is told to', async (t) => {
  const server = await startServer(t, { storeResponses: 2, apiKeys: ['a', 'b'] });
  const key = (name: string) => ({ authorization: `Bearer ${name}` });
  const first = await ask(server, path, { input, max_output_tokens: 8, seed: 1, instructions: 'Be brief.' }, key('a'));
  const id = first.body.id as string;
  t.equal(first.body.store, true);
  t.deepEqual((await ask(server, `${path}/${id}`, undefined, key('a'))).body, first.body);
  const said = first.body.output.flatMap(({ type, content, ...rest }: Json) =>
    type === 'message' ? [{ type, ...rest, content }] : [{ type, content }],
  );
  const more = { max_output_tokens: 8, seed: 2 };
  const next = await ask(server, path, { ...more, input: 'And a row?', previous_response_id: id }, key('a'));
  const whole = await ask(
    server,
    path,
    { ...more, input: [{ role: 'user', content: input }, ...said, { role: 'user', content: 'And a row?' }] },
    key('a'),
  );
  t.deepEqual(withoutIds(next.body.output), withoutIds(whole.body.output), 'as if the whole conversation was sent');
  t.equal((await ask(server, `${path}/${id}`, undefined, key('a'))).status, 404, 'the oldest goes');
  const kept = next.body.id as string;
  const remove = async (name: string) =>
    (await fetch(`${server.url}${path}/${kept}`, { method: 'DELETE', headers: key(name) })).status;
  t.equal(await remove('a'), 200);
  t.equal(await remove('a'), 404);
  const unkept = await ask(server, path, { ...more, input, store: false }, key('a'));
  t.equal((await ask(server, `${path}/${unkept.body.id}`, undefined, key('a'))).status, 404);
});

test('what is wrong with a request is told by the name of the field', async (t) => {
  const server = await startServer(t);
  const cases: [body: object, param: string, code?: string][] = [
    [{}, 'input'],
    [{ input: [5] }, 'input[0]'],
    [{ input: [{ type: 'web_search_call' }] }, 'input[0].type', 'unsupported'],
    [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input[0].content[0].type', 'unsupported'],
    [{ input: [{ type: 'function_call', name: 'f' }] }, 'input[0].arguments'],
    [{ input, previous_response_id: 'resp_x' }, 'previous_response_id', 'unsupported'],
    [{ input, background: true }, 'background', 'unsupported'],
    [{ input, conversation: 'c' }, 'conversation', 'unsupported'],
    [{ input, tools: [{ type: 'web_search' }] }, 'tools[0].type', 'unsupported'],
    [{ input, tools: [{ type: 'function' }] }, 'tools[0].name'],
  ];
  for (const [body, param, code = 'invalid_value'] of cases) {
    const { status, body: found } = await ask(server, path, body);
    t.deepEqual([status, found.error.param, found.error.code], [400, param, code], found.error.message);
  }
});

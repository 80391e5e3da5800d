/** Tools over HTTP: calls whole and in parts, and what clients send back. */
import test from 'tape';
import { callArguments, callIds, callingFields, startCallingServer, weatherTool } from '../support/calling-model.js';
import { ask, askStream, type Json } from '../support/server.js';

const path = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'How is the weather?' }];

test('a call is told whole, and in a stream by its name and then its arguments', async (t) => {
  const server = await startCallingServer(t);
  const body = { messages, tools: [weatherTool], ...callingFields, return_token_ids: true };
  const whole = await ask(server, path, body);
  t.equal(whole.status, 200);
  const [choice] = whole.body.choices;
  t.deepEqual([choice.token_ids, choice.finish_reason], [callIds, 'tool_calls']);
  const [call] = choice.message.tool_calls;
  t.deepEqual(call.function, { name: 'weather', arguments: callArguments });
  t.match(call.id, /^call_\w{24}$/);
  t.equal(choice.message.content, null);

  const chunks = await askStream(server, path, body);
  const deltas: Json[] = chunks.flatMap(({ choices }) => choices[0].delta.tool_calls ?? []);
  const [first, ...rest] = deltas;
  t.deepEqual(first, {
    index: 0,
    id: first.id,
    type: 'function',
    function: { name: 'weather', arguments: '' },
  });
  t.notEqual(first.id, call.id, 'another answer has other ids');
  t.ok(rest.length > 1, `the arguments come in ${rest.length} parts`);
  t.ok(
    rest.every((delta) => delta.index === 0 && delta.id === undefined),
    'of one call',
  );
  t.equal(rest.map((delta) => delta.function.arguments).join(''), callArguments);
  t.equal(chunks.at(-1).choices[0].finish_reason, 'tool_calls');

  const history = [...messages, choice.message, { role: 'tool', tool_call_id: call.id, content: 'sunny' }];
  const next = await ask(server, path, { ...body, messages: history });
  t.equal(next.status, 200, 'the answer goes back as it came');
  t.equal(next.body.choices[0].finish_reason, 'stop');
});

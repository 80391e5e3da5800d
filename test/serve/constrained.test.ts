/** Answers of a wanted form, and calls that must come, through the clients. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import Anthropic from '@anthropic-ai/sdk';
import { generateObject, jsonSchema } from 'ai';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import test from 'tape';
import { z } from 'zod';
import { weatherTool } from '../support/calling-model.js';
import { ask, startServer } from '../support/server.js';

const content = 'How do I insert a table?';
const messages = [{ role: 'user' as const, content }];
const rating = z.object({ stars: z.int().min(1).max(5), kind: z.enum(['good', 'bad']) });
const schema = {
  type: 'object' as const,
  properties: { stars: { type: 'integer' as const, minimum: 1, maximum: 5 }, kind: { enum: ['good', 'bad'] } },
  required: ['stars', 'kind'],
  additionalProperties: false,
};

test('clients parse answers by their schemas', async (t) => {
  const server = await startServer(t);
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'key' });
  for (const seed of [1, 2, 3]) {
    const parsed = await client.chat.completions.parse({
      ...{ model: 'tiny', messages, seed, max_completion_tokens: 300 },
      response_format: zodResponseFormat(rating, 'rating'),
    });
    t.ok(rating.safeParse(parsed.choices[0]!.message.parsed).success, parsed.choices[0]!.message.content!);
    const response = await client.responses.create({
      ...{ model: 'tiny', input: content, seed, max_output_tokens: 300 },
      text: { format: { type: 'json_schema', name: 'rating', schema } },
    });
    t.ok(rating.safeParse(JSON.parse(response.output_text)).success, response.output_text);
    const provider = createOpenAICompatible({
      ...{ name: 'kexa', baseURL: `${server.url}/v1`, supportsStructuredOutputs: true },
    });
    const { object } = await generateObject({
      ...{ model: provider('tiny'), prompt: content, seed, maxOutputTokens: 300 },
      schema: jsonSchema<z.infer<typeof rating>>(schema),
    });
    t.ok(rating.safeParse(object).success, JSON.stringify(object));
  }
  const { body } = await ask(server, '/v1/completions', { prompt: 'A number:', seed: 1, guided_regex: ' [0-9]{3}\\.' });
  t.match(body.choices[0].text, /^ [0-9]{3}\.$/, 'completions have a form, too');
  const wrong = await ask(server, '/v1/responses', {
    input: content,
    text: { format: { type: 'json_schema', name: 'x', schema: { not: {} } } },
  });
  t.deepEqual([wrong.status, wrong.body.error.param], [400, 'text.format.schema'], wrong.body.error.message);
});

const tools = [
  weatherTool,
  {
    type: 'function' as const,
    function: { name: 'time', parameters: { type: 'object' as const, properties: { zone: { type: 'string' } } } },
  },
];

test('calls come where they are required', async (t) => {
  const server = await startServer(t);
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'key' });
  const fields = { model: 'tiny', messages, tools, max_completion_tokens: 400 };
  let most = 0;
  for (let seed = 0; seed < 8; seed++) {
    const { choices } = await client.chat.completions.create({ ...fields, seed, tool_choice: 'required' });
    const { message, finish_reason: reason } = choices[0]!;
    if (reason === 'length') continue;
    t.equal(reason, 'tool_calls');
    const calls = message.tool_calls!;
    most = Math.max(most, calls.length);
    for (const call of calls) if (call.type === 'function') JSON.parse(call.function.arguments);
    if (calls.length < 2) continue;
    const results = calls.map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: 'yes' }));
    const next = await client.chat.completions.create({
      ...{ ...fields, seed, max_completion_tokens: 20 },
      messages: [...messages, message, ...results],
    });
    t.ok(next.choices[0], 'several calls go back with their results');
    break;
  }
  t.ok(most > 0, `up to ${most} calls`);
  const named = { type: 'function' as const, function: { name: 'weather' } };
  const one = await client.chat.completions.create({ ...fields, seed: 1, tool_choice: named });
  const [call] = one.choices[0]!.message.tool_calls ?? [];
  t.equal(call?.type === 'function' ? call.function.name : undefined, 'weather', 'a named one');
  const response = await client.responses.create({
    ...{ model: 'tiny', input: content, seed: 1, max_output_tokens: 400 },
    tools: [{ type: 'function', strict: false, ...weatherTool.function }],
    tool_choice: { type: 'function', name: 'weather' },
  } as OpenAI.Responses.ResponseCreateParamsNonStreaming);
  t.ok(response.output.some(({ type }) => type === 'function_call'));
  const anthropic = new Anthropic({ baseURL: server.url, apiKey: 'key' });
  const message = await anthropic.messages.create({
    ...{ model: 'tiny', messages, max_tokens: 400, seed: 1 },
    tools: [{ name: 'weather', input_schema: weatherTool.function.parameters }],
    tool_choice: { type: 'tool', name: 'weather' },
  });
  t.equal(message.stop_reason, 'tool_use');
});

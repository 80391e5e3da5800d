/** The server through the AI SDK, LangChain and Friendli's provider. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { createFriendli } from '@friendliai/ai-provider';
import { type AIMessageChunk, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import test from 'tape';
import { callArguments, callingFields, startCallingServer, weatherTool } from '../support/calling-model.js';
import { startWithModel } from '../support/server.js';

const content = 'How do I insert a table?';
const messages = [{ role: 'user' as const, content }];

test('the AI SDK streams text and thinking', async (t) => {
  const { model, server } = await startWithModel(t, { names: ['model'] });
  const wanted = await model.generate(messages, { seed: 6, maxTokens: 200 });
  const provider = createOpenAICompatible({ name: 'kexa', baseURL: `${server.url}/v1`, includeUsage: true });
  const { text, reasoningText, usage, finishReason } = streamText({
    ...{ model: provider('model'), prompt: content, seed: 6, maxOutputTokens: 200 },
  });
  t.equal(await text, wanted.text);
  t.equal(await reasoningText, wanted.reasoning);
  t.equal((await usage).outputTokens, wanted.ids.length);
  t.equal(await finishReason, 'stop');
});

test('the AI SDK runs tools, whole and streamed', async (t) => {
  const server = await startCallingServer(t);
  const provider = createOpenAICompatible({ name: 'kexa', baseURL: `${server.url}/v1` });
  const { temperature, ...options } = callingFields;
  for (const run of [generateText, streamText]) {
    const given: unknown[] = [];
    const weather = tool({
      description: 'The weather in a city',
      inputSchema: jsonSchema<{ city: string; days: number }>(weatherTool.function.parameters),
      execute: (input) => {
        given.push(input);
        return 'sunny';
      },
    });
    const answer = run({
      ...{ model: provider('model'), prompt: content, temperature, tools: { weather } },
      stopWhen: stepCountIs(3),
      providerOptions: { kexa: options },
    });
    const steps = await (await answer).steps;
    t.deepEqual(given, [JSON.parse(callArguments)], run.name);
    t.deepEqual(
      steps.map(({ finishReason }) => finishReason),
      ['tool-calls', 'stop'],
    );
  }
});

test('LangChain runs tools', async (t) => {
  const server = await startCallingServer(t);
  const { temperature, ...modelKwargs } = callingFields;
  const chat = new ChatOpenAI({
    ...{ model: 'model', apiKey: 'key', temperature, modelKwargs, maxRetries: 0 },
    configuration: { baseURL: `${server.url}/v1` },
  }).bindTools([weatherTool]);
  const turns = [new HumanMessage(content)];
  const answer = await chat.invoke(turns);
  t.deepEqual(
    answer.tool_calls!.map(({ name, args }) => [name, args]),
    [['weather', JSON.parse(callArguments)]],
  );
  let streamed: AIMessageChunk | undefined;
  for await (const chunk of await chat.stream(turns)) streamed = streamed?.concat(chunk) ?? chunk;
  t.deepEqual(streamed!.tool_calls![0]!.args, JSON.parse(callArguments), 'streamed');
  const [call] = answer.tool_calls!;
  const last = await chat.invoke([...turns, answer, new ToolMessage({ content: 'sunny', tool_call_id: call!.id! })]);
  t.deepEqual([last.tool_calls, last.response_metadata.finish_reason], [[], 'stop']);
});

test("Friendli's provider reads text, thinking and usage", async (t) => {
  const { model, server } = await startWithModel(t, { names: ['model'] });
  const wanted = await model.generate(messages, { seed: 6, maxTokens: 200 });
  const friendli = createFriendli({ apiKey: 'key', baseURL: `${server.url}/v1` });
  const chat = friendli('model');
  const prompt = [{ role: 'user' as const, content: [{ type: 'text' as const, text: content }] }];
  const call = { prompt, seed: 6, maxOutputTokens: 200 };
  const whole = await chat.doGenerate(call);
  const textOf = (kind: string) =>
    whole.content.map((part) => (part.type === kind && 'text' in part ? part.text : '')).join('');
  t.deepEqual([textOf('reasoning'), textOf('text')], [wanted.reasoning, wanted.text]);
  const { stream } = await chat.doStream(call);
  const streamed = { text: '', reasoning: '' };
  let finish: unknown;
  for await (const part of stream) {
    if (part.type === 'text-delta') streamed.text += part.delta;
    if (part.type === 'reasoning-delta') streamed.reasoning += part.delta;
    if (part.type === 'finish') finish = part.finishReason;
  }
  t.deepEqual(streamed, { text: wanted.text, reasoning: wanted.reasoning });
  t.ok(JSON.stringify(finish).includes('stop'));
});

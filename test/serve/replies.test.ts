/** Parts of replies that no model is needed for. */
import test from 'tape';
import { withoutControls } from '../../lib/serve/access-log.js';
import type { ReplyEvent, ReplyMapping } from '../../lib/serve/answer.js';
import { MessageReply } from '../../lib/serve/anthropic/message-reply.js';
import type { MessageRequest } from '../../lib/serve/anthropic/messages-request.js';
import { ChatReply } from '../../lib/serve/openai/chat-reply.js';
import type { ChatRequest } from '../../lib/serve/openai/chat-request.js';
import { CompletionReply } from '../../lib/serve/openai/completion-reply.js';
import type { CompletionRequest } from '../../lib/serve/openai/completion-request.js';
import { ResponseReply } from '../../lib/serve/openai/response-reply.js';
import type { ResponseRequest } from '../../lib/serve/openai/response-request.js';
import { ResponseStore } from '../../lib/serve/openai/response-store.js';
import { seededChoices } from '../../lib/serve/openai/sampling.js';
import { checkServeOptions } from '../../lib/serve/options.js';
import type { GenerationResult, Piece } from '../../lib/types.js';
import { eventsOf, type Json } from '../support/server.js';

const empty: Piece = { text: '', reasoning: '', ids: [], toolCallDeltas: [], toolCalls: [], failedToolCalls: [] };
const id = 'call_1';

/** A call whose last part comes in one piece with the text behind it, as it does where a step keeps drafts. */
const pieces: Piece[] = [
  { ...empty, toolCallDeltas: [{ id, index: 0, name: 'weather', argumentsText: '' }] },
  { ...empty, toolCallDeltas: [{ id, index: 0, argumentsText: '{"city":' }] },
  { ...empty, toolCallDeltas: [{ id, index: 0, argumentsText: '"Seoul"}' }], text: 'Done.' },
];

function streamed(mapping: ReplyMapping): Json[] {
  const events = pieces.map((piece): ReplyEvent => ({ kind: 'piece', choice: 0, piece }));
  return eventsOf(mapping.begin() + mapping.events(events));
}

test('the end of a call comes before the text that follows it', (t) => {
  const message = streamed(new MessageReply({ name: 'model' } as MessageRequest));
  const deltas = message.filter(({ type }) => type === 'content_block_delta');
  t.deepEqual(
    deltas.map(({ index, delta }) => [index, delta.type, delta.partial_json ?? delta.text]),
    [
      [0, 'input_json_delta', '{"city":'],
      [0, 'input_json_delta', '"Seoul"}'],
      [1, 'text_delta', 'Done.'],
    ],
    'in a message',
  );
  const tokenizer = { reasoning: { open: '<think>', close: '</think>' }, tokenToId: () => null };
  const request = { model: { model: { tokenizer } }, told: {}, logprobs: false };
  const response = streamed(new ResponseReply(request as unknown as ResponseRequest, () => {}));
  const done = response.find(({ type }) => type === 'response.function_call_arguments.done');
  t.equal(done?.arguments, '{"city":"Seoul"}', 'in a response');
  const text = response.find(({ type }) => type === 'response.output_text.delta');
  t.deepEqual([text?.output_index, text?.delta], [1, 'Done.']);
  t.end();
});

test('the cached tokens of a prompt count once for all of its answers', (t) => {
  const prompts = [
    { ids: [1, 2, 3, 4], text: '' },
    { ids: [5, 6], text: '' },
  ];
  const request = { model: { model: {}, fingerprint: '' }, name: 'model', prompts, n: 2, echo: false };
  const result = (cachedTokens: number) => ({
    ...{ text: 'x', ids: [7], finishReason: 'length' },
    ...{ usage: { cachedTokens, completionTokens: 1 }, speculation: { accepted: 0, drafted: 0 } },
  });
  const results = [3, 4, 1, 2].map(result) as unknown as GenerationResult[];
  const { usage } = new CompletionReply(request as unknown as CompletionRequest, []).whole(results) as Json;
  t.equal(usage.prompt_tokens, 6);
  t.equal(usage.prompt_tokens_details.cached_tokens, 4);
  t.equal(usage.completion_tokens, 4);
  t.end();
});

test('the seeds of several answers are integers that the library takes', (t) => {
  const most = Number.MAX_SAFE_INTEGER;
  const seeds = (seed: number) => seededChoices({}, 3, seed).map((options) => options.seed);
  t.deepEqual(seeds(5), [5, 6, 7]);
  t.deepEqual(seeds(most - 1), [most - 1, most, 0], 'they go on from 0 past the largest');
  t.deepEqual(seeds(-most), [1, 2, 3], 'negative ones count from 2^52 down');
  t.end();
});

test('a line of the log stays one line, whatever names a client has chosen', (t) => {
  t.equal(
    withoutControls('ignored: a\nforged\r \x1b[2J \x9b \u2028'),
    'ignored: a\\u{a}forged\\u{d} \\u{1b}[2J \\u{9b} \\u{2028}',
  );
  t.equal(withoutControls('/v1/models/모델'), '/v1/models/모델');
  t.end();
});

test('responses are kept up to a number and up to a size', (t) => {
  const entry = (id: string, length: number) => ({
    response: { id },
    messages: [{ role: 'user' as const, content: 'x'.repeat(length) }],
    keyLabel: null,
  });
  const store = new ResponseStore(3, 1000);
  const kept = () =>
    ['a', 'b', 'c', 'd', 'e', 'f'].filter((id) => {
      try {
        return store.find(id, null);
      } catch {
        return false;
      }
    });
  for (const id of ['a', 'b', 'c', 'd']) store.keep(entry(id, 10));
  t.deepEqual(kept(), ['b', 'c', 'd'], 'the oldest goes at the number');
  store.keep(entry('e', 870));
  t.deepEqual(kept(), ['d', 'e'], 'and at the size');
  store.delete('e', null);
  store.keep(entry('f', 870));
  t.deepEqual(kept(), ['d', 'f'], 'one that is forgotten takes no room');
  store.keep(entry('a', 2000));
  t.deepEqual(kept(), [], 'one that is too large is not kept');
  t.end();
});

test('thinking in the content is closed, whole and streamed, where the answer is cut in it', (t) => {
  const tokenizer = { reasoning: { open: '<think>', close: '</think>' }, tokenToId: () => null, encode: () => [1] };
  const style = { model: 'model', reasoning: 'in text' };
  const answer = { model: { model: { tokenizer }, fingerprint: '' }, choices: [{}] };
  const reply = () => new ChatReply({ style, answer } as unknown as ChatRequest, checkServeOptions({}));
  const result = {
    ...{ text: '', reasoning: 'Hm', ids: [1], toolCalls: [], finishReason: 'length' },
    ...{ usage: { promptTokens: 1, completionTokens: 1 }, speculation: { accepted: 0, drafted: 0 } },
  } as unknown as GenerationResult;
  const whole = reply().whole([result]) as Json;
  const events: ReplyEvent[] = [
    { kind: 'piece', choice: 0, piece: { ...empty, reasoning: 'H' } },
    { kind: 'piece', choice: 0, piece: { ...empty, reasoning: 'm' } },
    { kind: 'ended', choice: 0, result },
  ];
  const told = eventsOf(reply().events(events)).map(({ choices }) => choices[0].delta.content ?? '');
  t.equal(whole.choices[0].message.content, '<think>\nHm\n</think>\n\n');
  t.equal(told.join(''), whole.choices[0].message.content);
  t.end();
});

test('ids of tokens are streamed before the tokens have a text', (t) => {
  const answer = { model: { model: {}, fingerprint: '' }, choices: [{}] };
  const style = { model: 'model', reasoning: 'apart', tokenIds: true };
  const reply = new ChatReply({ style, answer } as unknown as ChatRequest, checkServeOptions({}));
  const [event] = eventsOf(reply.events([{ kind: 'piece', choice: 0, piece: { ...empty, ids: [5] } }]));
  t.deepEqual(event?.choices[0].token_ids, [5]);
  t.end();
});

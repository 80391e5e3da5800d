/** Bodies of chat requests with wrong fields, for the server to refuse by name or to answer. */
import fc from 'fast-check';
import type { Test } from 'tape';
import { startServer } from './server.js';

/** The fields of a chat request that are made wrong. */
const fields = [
  ...[
    'model',
    'messages',
    'max_completion_tokens',
    'max_tokens',
    'min_tokens',
    'temperature',
    'top_p',
    'top_k',
    'min_p',
  ],
  ...['repetition_penalty', 'presence_penalty', 'frequency_penalty', 'n', 'seed', 'stop', 'logit_bias', 'logprobs'],
  ...['top_logprobs', 'stream', 'stream_options', 'tools', 'tool_choice', 'parallel_tool_calls', 'response_format'],
  ...[
    'structured_outputs',
    'guided_json',
    'guided_regex',
    'guided_choice',
    'guided_grammar',
    'regex',
    'ebnf',
    'functions',
  ],
  ...[
    'function_call',
    'chat_template_kwargs',
    'reasoning_effort',
    'parse_reasoning',
    'include_reasoning',
    'ignore_eos',
  ],
  ...[
    'stop_token_ids',
    'skip_special_tokens',
    'continue_final_message',
    'priority',
    'request_id',
    'mtp',
    'timings',
    'user',
  ],
];

const messages = [{ role: 'user', content: 'Hello' }];

/** Values that are extreme, of a wrong type, or nearly right. */
const value: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, '', 'auto', 'none', -1, 0, 1, 2, 21, 1e308, -1e308, 0.5, 2 ** 53, [], {}),
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<unknown>(
    ...[
      [{}],
      [null],
      ['a', ''],
      { type: 'json_object' },
      { type: 'function', function: {} },
      { enable_thinking: 'no' },
    ],
    ...[[{ role: 'user', content: null }], [{ role: 'tool', content: 'x', tool_call_id: 5 }], [{ role: 'assistant' }]],
    ...[[{ role: 'user', content: [{ type: 'text' }] }], { '0': 200 }, { '99999999': 1 }, { a: 1 }],
    ...[
      [{ type: 'function', function: { name: 'f', parameters: { type: 'objekt' } } }],
      [{ role: 'assistant', tool_calls: [{}] }],
    ],
  ),
);

const body = fc.record({
  changed: fc.uniqueArray(fc.tuple(fc.constantFrom(...fields), value), {
    minLength: 1,
    maxLength: 2,
    selector: ([name]) => name,
  }),
  tokens: fc.constantFrom(1, 2),
});

/** Sends so many bodies. Each gets a 2xx, or a 4xx that names a field that was changed. */
export async function fuzzChat(t: Test, runs: number, seed: number): Promise<void> {
  const server = await startServer(t);
  const send = async ({ changed, tokens }: { changed: [string, unknown][]; tokens: number }) => {
    const sent: Record<string, unknown> = { messages, max_tokens: tokens, ...Object.fromEntries(changed) };
    // No answer of a run may be long.
    const limit = sent.max_completion_tokens ?? sent.max_tokens;
    if (limit === null || limit === undefined || (typeof limit === 'number' && limit > 2))
      sent.max_completion_tokens = 2;
    const text = JSON.stringify(sent);
    const response = await fetch(`${server.url}/v1/chat/completions`, { method: 'POST', body: text });
    const answer = await response.text();
    const told = `${response.status} ${answer.slice(0, 300)}\nfor ${text.slice(0, 500)}`;
    if (response.status >= 500 || answer.includes('"server_error"')) throw new Error(told);
    if (response.status < 300) return true;
    const { param } = (JSON.parse(answer) as { error: { param: string | null } }).error;
    const field = /^\w+/.exec(param ?? '')?.[0] ?? '';
    if (!(field in sent) && !changed.some(([name]) => name === field)) throw new Error(`no field is named: ${told}`);
    return false;
  };
  let accepted = 0;
  let refused = 0;
  const width = 8;
  const many = fc.sample(body, { numRuns: runs, seed });
  const work = async () => {
    for (let next = many.pop(); next !== undefined; next = many.pop()) {
      if (await send(next as { changed: [string, unknown][]; tokens: number })) accepted++;
      else refused++;
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  t.equal(accepted + refused, runs, `${accepted} answered, ${refused} refused by the name of a field`);
  t.ok(accepted > runs / 20 && refused > runs / 20, 'some of each');
  t.equal((await fetch(`${server.url}/health`)).status, 200, 'and the server lives');
}

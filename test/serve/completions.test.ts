/** Completions, whole and streamed, and the routes that tokenize: they give what the library gives. */
import test from 'tape';
import { ask, askStream, type Json, startWithModel } from '../support/server.js';

const path = '/v1/completions';
const prompt = 'In the beginning God';

test("a completion is the library's raw answer", async (t) => {
  const { model, server } = await startWithModel(t);
  const wanted = await model.generate(prompt, { raw: true, seed: 3, maxTokens: 16, logprobs: 3, ignoreEos: true });
  const body = { prompt, seed: 3, logprobs: 3, ignore_eos: true };
  const { status, body: whole } = await ask(server, path, body);
  t.equal(status, 200);
  t.match(whole.id, /^cmpl-\w{26}$/);
  t.equal(whole.object, 'text_completion');
  const [choice] = whole.choices;
  t.deepEqual([choice.text, choice.finish_reason], [wanted.text, wanted.finishReason], '16 tokens if none are asked');
  t.deepEqual(
    choice.logprobs.token_logprobs,
    wanted.logprobs!.map(({ logprob }) => logprob),
    'log-probabilities to the bit',
  );
  for (const [i, { id, top }] of wanted.logprobs!.entries()) {
    const names = new Set([...top.map((other) => other.id), id]);
    t.equal(Object.keys(choice.logprobs.top_logprobs[i]).length, names.size, 'the best and the one chosen');
  }
  const usage = [whole.usage.prompt_tokens, whole.usage.completion_tokens];
  t.deepEqual(usage, [wanted.usage.promptTokens, wanted.ids.length]);

  const chunks = await askStream(server, path, { ...body, stream_options: { include_usage: true } });
  const choices: Json[] = chunks.flatMap((chunk) => chunk.choices);
  t.equal(choices.map(({ text }) => text).join(''), wanted.text, 'streamed');
  t.deepEqual(
    choices.flatMap(({ logprobs }) => logprobs?.token_logprobs ?? []),
    choice.logprobs.token_logprobs,
  );
  t.deepEqual(
    choices.flatMap(({ logprobs }) => logprobs?.text_offset ?? []),
    choice.logprobs.text_offset,
  );
  t.deepEqual(
    choices.map(({ finish_reason: reason }) => reason).filter((reason) => reason !== null),
    ['length'],
  );
  t.equal(chunks.at(-1).usage.completion_tokens, 16);
});

test('several prompts and choices come in order, whatever form they have', async (t) => {
  const { model, server } = await startWithModel(t);
  const prompts = [prompt, 'And the evening and the'];
  const ids = prompts.map((each) => model.tokenizer.encode(each));
  const fields = { seed: 5, max_tokens: 6, n: 2 };
  const wanted: string[] = [];
  for (const each of prompts)
    for (const seed of [5, 6]) wanted.push((await model.generate(each, { raw: true, seed, maxTokens: 6 })).text);
  for (const given of [prompts, ids]) {
    const { body } = await ask(server, path, { ...fields, prompt: given });
    t.deepEqual(
      body.choices.map(({ index, text }: Json) => [index, text]),
      wanted.map((text, index) => [index, text]),
    );
    t.equal(body.usage.prompt_tokens, ids[0]!.length + ids[1]!.length, 'each prompt counts once');
    const chunks = await askStream(server, path, { ...fields, prompt: given, echo: true });
    const texts = wanted.map((_, i) =>
      chunks
        .flatMap(({ choices }) => choices)
        .filter(({ index }: Json) => index === i)
        .map(({ text }: Json) => text)
        .join(''),
    );
    t.deepEqual(
      texts,
      wanted.map((text, i) => prompts[Math.floor(i / 2)] + text),
      'with the prompt before it',
    );
  }
  const one = await ask(server, path, { ...fields, n: 1, prompt: ids[0] });
  t.deepEqual([one.body.choices.length, one.body.choices[0].text], [1, wanted[0]], 'one prompt of ids');
});

test('the log-probabilities of a prompt are those of score', async (t) => {
  const { model, server } = await startWithModel(t);
  const ids = model.tokenizer.encode(`${prompt} created 한글`);
  const scores = await model.scoreTokens(ids, { alternatives: 1 });
  t.deepEqual(
    scores.map(({ logprob }) => logprob),
    Array.from(await model.score(ids)),
    'with alternatives and without',
  );
  // The request with which lm-evaluation-harness measures log-likelihoods.
  const harness = { prompt: [ids], echo: true, logprobs: 1, temperature: 0, seed: 1234 };
  for (const maxTokens of [0, 1]) {
    const { status, body } = await ask(server, path, { ...harness, max_tokens: maxTokens });
    t.equal(status, 200);
    const { logprobs, text } = body.choices[0];
    t.equal(logprobs.tokens.length, ids.length + maxTokens);
    t.deepEqual(
      logprobs.token_logprobs.slice(0, ids.length),
      [null, ...scores.map(({ logprob }) => logprob)],
      `${maxTokens} tokens: the first has none`,
    );
    t.equal(logprobs.top_logprobs[0], null);
    for (const [i, { id, top }] of scores.entries()) {
      const found = logprobs.top_logprobs[i + 1] as Record<string, number>;
      const [best] = Object.keys(found).sort((a, b) => found[b]! - found[a]!);
      t.equal(best === logprobs.tokens[i + 1], top[0]!.id === id, 'whether the token is the best one');
    }
    t.ok(text.startsWith(`${prompt} created 한글`));
    const before = model.tokenizer.decode(ids.slice(0, -1)).replaceAll('\ufffd', '');
    t.equal(logprobs.text_offset[ids.length - 1], [...before].length, 'offsets count whole characters');
    t.equal(body.usage.completion_tokens, maxTokens);
    const chunks = await askStream(server, path, { ...harness, max_tokens: maxTokens });
    t.equal(
      chunks
        .flatMap(({ choices }) => choices)
        .map((choice: Json) => choice.text)
        .join(''),
      text,
    );
  }
  const { body } = await ask(server, path, { prompt: ids, max_tokens: 1, prompt_logprobs: 2 });
  const told = body.choices[0].prompt_logprobs;
  t.deepEqual([told.length, told[0], body.choices[0].logprobs], [ids.length, null, null]);
  t.equal(told[1][ids[1]!].logprob, scores[0]!.logprob, "vLLM's form");
  t.equal(told[1][scores[0]!.top[0]!.id].rank, 1);
});

test('what is wrong with a completion is told by the name of the field', async (t) => {
  const { server } = await startWithModel(t);
  const cases: [body: object, param: string, code?: string][] = [
    [{}, 'prompt'],
    [{ prompt: '' }, 'prompt'],
    [{ prompt: [[5], [5000]] }, 'prompt[1][0]'],
    [{ prompt: 'long '.repeat(9000) }, 'prompt', 'context_length_exceeded'],
    [{ prompt, suffix: 'x' }, 'suffix', 'unsupported'],
    [{ prompt, best_of: 3 }, 'best_of'],
    [{ prompt, max_tokens: 0 }, 'max_tokens'],
    [{ prompt, logprobs: 21 }, 'logprobs'],
    [{ prompt: Array(200).fill('x'), n: 2 }, 'prompt'],
  ];
  for (const [body, param, code = 'invalid_value'] of cases) {
    const { status, body: found } = await ask(server, path, body);
    t.deepEqual([status, found.error.param, found.error.code], [400, param, code], found.error.message);
  }
});

test('texts are tokenized in two forms, and tokens made text again', async (t) => {
  const { model, server } = await startWithModel(t);
  const text = 'Hello 한글 🙂';
  const ids = model.tokenizer.encode(text);
  const { body } = await ask(server, '/tokenize', { prompt: text, return_token_strs: true });
  t.deepEqual(body, {
    count: ids.length,
    max_model_len: model.contextSize,
    tokens: ids,
    token_strs: ids.map((id) => model.tokenizer.decode([id])),
  });
  t.deepEqual((await ask(server, '/tokenize', { content: text })).body, { tokens: ids }, "llama-server's form");
  const pieces = (await ask(server, '/tokenize', { content: '🙂', with_pieces: true })).body.tokens as Json[];
  const bytes = pieces.flatMap(({ piece }) => (typeof piece === 'string' ? [...Buffer.from(piece)] : piece));
  t.equal(Buffer.from(bytes).toString(), '🙂', 'half characters are told as bytes');
  const messages = [{ role: 'user', content: 'Hello <|endofturn|>' }];
  const chat = await ask(server, '/tokenize', { messages });
  const { usage } = await model.generate(messages as [{ role: 'user'; content: string }], { maxTokens: 1 });
  t.equal(chat.body.count, usage.promptTokens, 'a conversation is what generate makes of it');
  const back = await ask(server, '/detokenize', { tokens: ids });
  t.deepEqual(back.body, { prompt: text, content: text });
  for (const [route, wrong, param] of [
    ['/tokenize', {}, 'prompt'],
    ['/detokenize', { tokens: [1e6] }, 'tokens[0]'],
    ['/detokenize', {}, 'tokens'],
  ] as const) {
    const { status, body: found } = await ask(server, route, wrong);
    t.deepEqual([status, found.error.param], [400, param]);
  }
});

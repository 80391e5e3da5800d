/** Answers: how they are read, where they end, and the reports about them. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { loadModel, type Model, type Piece } from '../../lib/index.js';
import { loadGoldens, modelFolder } from '../support/goldens.js';
import { newFolder, refuses } from '../support/small-model.js';

const goldens = loadGoldens('tiny').prompts;
const beginning = goldens[0]!; // "In the beginning God created"
const greedy = { temperature: 0, raw: true } as const;

async function open(t: Test, path = modelFolder('tiny'), contextSize = 1024): Promise<Model> {
  const model = await loadModel(path, { contextSize });
  t.teardown(() => model.close());
  return model;
}

async function readAll(
  generation: AsyncIterable<Piece>,
): Promise<Pick<Piece, 'text' | 'reasoning' | 'toolCalls' | 'ids'>> {
  const pieces: Piece[] = [];
  for await (const piece of generation) pieces.push(piece);
  return {
    text: pieces.map(({ text }) => text).join(''),
    reasoning: pieces.map(({ reasoning }) => reasoning).join(''),
    toolCalls: pieces.flatMap(({ toolCalls }) => toolCalls),
    ids: pieces.flatMap(({ ids }) => ids),
  };
}

test('awaiting, iterating and both at once give the same answer, to any number of readers', async (t) => {
  const model = await open(t);
  const options = { ...greedy, maxTokens: 48 };
  const awaited = await model.generate(beginning.text!, options);
  t.deepEqual(awaited.ids, beginning.greedy, 'it is the golden one');
  t.equal(awaited.text, beginning.greedyText);
  const { text, reasoning, toolCalls, ids } = awaited;
  const whole = { text, reasoning, toolCalls, ids };
  t.deepEqual(await readAll(model.generate(beginning.text!, options)), whole, 'iterated');

  const generation = model.generate(beginning.text!, options);
  const [first, result, second] = await Promise.all([readAll(generation), generation, readAll(generation)]);
  t.deepEqual([first, second], [whole, whole], 'two readers at the same time');
  t.deepEqual(result.ids, ids, 'and one who awaits');
  t.deepEqual(await readAll(generation), whole, 'a reader who comes when it is over is given all of it');
  t.equal(await generation, result, 'awaiting again gives the same result');
});

test('a raw text and its token ids are the same prompt', async (t) => {
  const model = await open(t);
  for (const p of [0, 1, 5]) {
    const { text, ids, greedy: wanted, greedyText } = goldens[p]!;
    const options = { ...greedy, maxTokens: wanted.length };
    for (const prompt of [text!, ids, Uint32Array.from(ids)]) {
      const answer = await model.generate(prompt, options);
      t.deepEqual(answer.ids, wanted, `prompt ${p}`);
      t.equal(answer.text, greedyText);
      t.equal(answer.usage.promptTokens, ids.length);
    }
  }
});

test('a text is a user message, put through the chat template with or without thinking', async (t) => {
  const model = await open(t);
  const content = 'In the beginning';
  const messages = [{ role: 'user', content }] as const;
  for (const thinking of [true, false]) {
    const options = { temperature: 0, maxTokens: 80, thinking };
    const answer = await model.generate(content, options);
    const prompt = model.tokenizer.applyChatTemplate(messages, { thinking });
    t.ok(prompt.endsWith(thinking ? '<think>\n' : '</think>\n\n'), `the block is ${thinking ? 'open' : 'closed'}`);
    const ids = model.tokenizer.encode(prompt);
    t.equal(answer.usage.promptTokens, ids.length);
    t.deepEqual((await model.generate(messages, options)).ids, answer.ids, 'messages');
    t.deepEqual((await model.generate(ids, options)).ids, answer.ids, 'the ids of the rendered template');
    const written = model.tokenizer.decode(answer.ids);
    const parts = thinking ? [answer.reasoning, '\n</think>\n\n', answer.text] : [answer.text];
    t.equal(written, `${parts.join('')}<|endofturn|>`, 'thinking and text are all that was written');
    t.equal(answer.reasoning !== '', thinking);
    t.ok(answer.text !== '' && answer.finishReason === 'stop');
  }
  const system = [{ role: 'system', content: 'Be brief.' }, ...messages] as const;
  const { usage } = await model.generate(system, { temperature: 0, maxTokens: 1 });
  t.equal(usage.promptTokens, model.tokenizer.encode(model.tokenizer.applyChatTemplate(system)).length);
});

test('an answer ends at the end of the turn, at maxTokens or where the context is full', async (t) => {
  const model = await open(t);
  const { ids: prompt, greedy: wanted } = goldens[3]!;
  const end = wanted.indexOf(model.config.eosTokenIds[0]!);
  t.ok(end > 0, 'the golden answer goes past an end of turn');
  const stopped = await model.generate(prompt, { temperature: 0 });
  t.equal(stopped.finishReason, 'stop');
  t.deepEqual(stopped.ids, wanted.slice(0, end + 1), 'its token is among the ids');
  t.equal(stopped.text, model.tokenizer.decode(wanted.slice(0, end)), 'and not in the text');
  for (const mtp of [false, 4] as const) {
    const late = await model.generate(prompt, { temperature: 0, maxTokens: wanted.length, minTokens: end + 3, mtp });
    t.deepEqual(late.ids.slice(0, end), wanted.slice(0, end), 'minTokens changes nothing before the end token');
    const ends = late.ids.map((id) => model.config.eosTokenIds.includes(id));
    t.notOk(ends.slice(0, end + 3).includes(true), 'no end token among the first minTokens');
    t.ok(late.ids.length >= end + 3, `${late.ids.length} tokens`);
  }
  const ignoring = await model.generate(prompt, { temperature: 0, ignoreEos: true, maxTokens: wanted.length });
  t.deepEqual([ignoring.ids, ignoring.finishReason], [wanted, 'length'], 'ignoreEos goes on');
  for (const maxTokens of [1, 7, end]) {
    const cut = await model.generate(prompt, { temperature: 0, maxTokens });
    t.deepEqual([cut.ids, cut.finishReason], [wanted.slice(0, maxTokens), 'length'], `maxTokens ${maxTokens}`);
  }
  const last = await model.generate(prompt, { temperature: 0, maxTokens: end + 1 });
  t.equal(last.finishReason, 'stop', 'an end of turn that is also the last token allowed is an end of turn');

  const small = await open(t, modelFolder('tiny'), 16);
  const full = await small.generate(beginning.ids, { temperature: 0 });
  t.deepEqual(
    [full.ids, full.finishReason],
    [beginning.greedy.slice(0, 12), 'length'],
    'prompt and answer are 16 tokens',
  );
  await refuses(t, 'KEXA_CONTEXT_FULL', ['prompt', '16'], () => small.generate(Array(16).fill(5)));
});

test('an answer that calls a tool says so', async (t) => {
  // One token that is a whole call, chosen first; then, being divided, it loses to the end of the turn.
  const folder = await newFolder(t);
  cpSync(modelFolder('tiny'), folder, { recursive: true });
  const tokenizer = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8'));
  const call = '<tool_call>{"name": "weather", "arguments": {"city": "서울"}}</tool_call>';
  Object.assign(tokenizer.added_tokens[10], { content: call, special: false });
  delete tokenizer.model.vocab['<unused10>'];
  tokenizer.model.vocab[call] = 10;
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  const model = await open(t, folder);
  const tools = [{ type: 'function', function: { name: 'weather' } }] as const;
  const forced = {
    temperature: 0,
    thinking: false,
    logitBias: { 10: 1000, 53: 900 },
    repeatPenalty: 2,
    repeatLastN: 1,
  };
  const generation = model.generate('How is the weather?', { ...forced, tools });
  const streamed = await readAll(generation);
  const parts: Piece['toolCallDeltas'] = [];
  for await (const { toolCallDeltas } of generation) parts.push(...toolCallDeltas);
  const answer = await generation;
  const { id } = answer.toolCalls[0]!;
  t.match(id, /^call_\w{24}$/);
  t.deepEqual(parts[0], { id, index: 0, name: 'weather', argumentsText: '' });
  t.equal(parts.map(({ argumentsText }) => argumentsText).join(''), answer.toolCalls[0]!.argumentsText);
  const again = await model.generate('How is the weather?', { ...forced, tools });
  t.notEqual(again.toolCalls[0]!.id, id, 'another answer has another id');
  t.deepEqual(answer.ids, [10, 53]);
  t.equal(answer.finishReason, 'tool_calls');
  t.equal(answer.text, '');
  t.deepEqual(answer.toolCalls, streamed.toolCalls);
  t.equal(answer.toolCalls.length, 1);
  t.equal(answer.toolCalls[0]!.name, 'weather');
  t.deepEqual(answer.toolCalls[0]!.arguments, { city: '서울' });
  const untold = await model.generate('How is the weather?', forced);
  t.deepEqual([untold.finishReason, untold.text], ['stop', call], 'without tools it is text');
});

test('a stop text ends the answer, though it begins in one token and ends in another', async (t) => {
  const model = await open(t);
  const { greedy: wanted } = beginning;
  const spelled = wanted.map((id) => model.tokenizer.decode([id]));
  const whole = spelled.join('');
  let spanning = 0;
  for (let i = 0; i < 8; i++) {
    const stop = spelled[i]!.slice(-1) + spelled[i + 1]!.slice(0, 2);
    const ended = spelled.findIndex((_, k) =>
      spelled
        .slice(0, k + 1)
        .join('')
        .includes(stop),
    );
    if (!spelled.some((token) => token.includes(stop))) spanning++;
    const generation = model.generate(beginning.ids, { temperature: 0, maxTokens: 48, stop });
    const streamed = await readAll(generation);
    const answer = await generation;
    t.deepEqual(answer.ids, wanted.slice(0, ended + 1), `ids end at the token that completes ${JSON.stringify(stop)}`);
    t.equal(answer.text, whole.slice(0, whole.indexOf(stop)), 'the text ends before it');
    t.equal(streamed.text, answer.text, 'and no piece held a part of it');
    t.equal(answer.finishReason, 'stop');
    t.equal(answer.usage.completionTokens, ended + 1);
  }
  t.ok(spanning >= 4, `${spanning} of them are in no token whole`);
  const several = await model.generate(beginning.ids, {
    temperature: 0,
    maxTokens: 48,
    stop: ['nowhere', 'fathers', ' our'],
  });
  t.equal(several.text, whole.slice(0, whole.indexOf(' our')), 'of several the first to be completed counts');
  const never = await model.generate(beginning.ids, {
    temperature: 0,
    maxTokens: 48,
    stop: ['nowhere', 'and our sons'],
  });
  t.deepEqual([never.text, never.finishReason], [whole, 'length'], 'what only begins like a stop is given in the end');
});

test('an answer that is cut inside a character ends before it', async (t) => {
  // Korean characters are three bytes, and the tiny tokenizer spells rare ones a byte at a time.
  const model = await open(t);
  const prompt = '태초에 하나님이';
  const full = await model.generate(prompt, greedy);
  t.equal(full.finishReason, 'stop');
  const isHalf = (count: number) => model.tokenizer.decode(full.ids.slice(0, count)).endsWith('\ufffd');
  const halves = full.ids.map((_, i) => i + 1).filter(isHalf);
  t.ok(halves.length > 0, `cut after ${halves.join(', ')} tokens`);
  for (const maxTokens of halves) {
    const generation = model.generate(prompt, { ...greedy, maxTokens });
    const streamed = await readAll(generation);
    const { text, ids } = await generation;
    t.notOk(text.includes('\ufffd'), JSON.stringify(text));
    t.ok(full.text.startsWith(text) && text.length > 0, 'the characters before it are all there');
    t.equal(text.length, model.tokenizer.decode(ids).replace(/\ufffd+$/, '').length);
    t.deepEqual([ids, streamed.text], [full.ids.slice(0, maxTokens), text], 'the ids have the half character');
  }
});

test('what an answer took is reported', async (t) => {
  const model = await open(t);
  const session = model.createSession();
  const first = await session.generate(beginning.ids, { maxTokens: 20, seed: 7, ignoreEos: true, mtp: false });
  t.deepEqual(first.usage, { promptTokens: 4, cachedTokens: 0, completionTokens: 20, parked: 0 });
  t.equal(first.seed, 7);
  const longer = [...beginning.ids, ...first.ids, 70, 71];
  const second = await session.generate(longer, { maxTokens: 5, ignoreEos: true, stop: 'nowhere', mtp: false });
  t.deepEqual(
    second.usage,
    { promptTokens: 26, cachedTokens: 23, completionTokens: 5, parked: 0 },
    'the last token was not run',
  );
  t.ok(Number.isSafeInteger(second.seed) && second.seed >= 0, 'a seed that was not given is reported');
  const again = await model.generate(longer, { maxTokens: 5, ignoreEos: true, seed: second.seed });
  t.deepEqual(again.ids, second.ids, 'and gives the same answer again');
  const stopped = await model.generate(beginning.ids, { temperature: 0, stop: 'God', mtp: false });
  const single = await model.generate(beginning.ids, { maxTokens: 1 });
  for (const { timings, speculation } of [first, second, stopped, single]) {
    const { encodeMs, ...numbers } = timings;
    t.equal(encodeMs, null, 'on the CPU device nothing is handed over');
    for (const [name, value] of Object.entries(numbers)) t.ok(Number.isFinite(value) && value >= 0, `${name} ${value}`);
    t.ok(timings.firstTokenMs > 0 && timings.prefillMs > 0 && timings.prefillTokensPerSecond > 0);
    t.deepEqual([speculation.steps, speculation.drafted, speculation.accepted], [0, 0, 0]);
  }
  t.ok(first.timings.decodeMs > 0 && first.timings.decodeTokensPerSecond > 0);
});

test('log-probabilities are of the model, before penalties, bias and temperature', async (t) => {
  const model = await open(t);
  const { config } = model;
  const shaped = {
    seed: 3,
    temperature: 0.7,
    topK: 40,
    presencePenalty: 1.5,
    repeatPenalty: 1.3,
    logitBias: { 300: 6 },
  };
  for (const logprobs of [true, 0, 1, 20] as const) {
    const generation = model.generate(beginning.ids, { ...shaped, maxTokens: 12, ignoreEos: true, logprobs });
    const streamed = [];
    for await (const piece of generation) streamed.push(...piece.logprobs!);
    const { ids, logprobs: found } = await generation;
    t.deepEqual(found, streamed);
    t.deepEqual(
      found!.map(({ id }) => id),
      ids,
    );
    const { logits } = await model.forward([...beginning.ids, ...ids]);
    let worst = 0;
    let disordered = 0;
    for (const [step, { id, logprob, top }] of found!.entries()) {
      const from = (beginning.ids.length + step - 1) * config.vocabSize;
      const row = Array.from(logits.subarray(from, from + config.vocabSize));
      const most = Math.max(...row);
      const total = most + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
      const best = row.map((logit, token) => ({ id: token, logprob: logit - total }));
      best.sort((a, b) => b.logprob - a.logprob || a.id - b.id);
      worst = Math.max(worst, Math.abs(logprob - (row[id]! - total)));
      for (const [i, wanted] of best.slice(0, Number(logprobs === true ? 0 : logprobs)).entries()) {
        worst = Math.max(worst, Math.abs((top[i]?.logprob ?? Infinity) - wanted.logprob));
        // Ids of equals may differ: forward() computes rows together, generate() one by one.
        if (top[i]?.id !== wanted.id && Math.abs(row[top[i]!.id]! - row[wanted.id]!) > 1e-4) disordered++;
      }
      if (top.length !== Number(logprobs === true ? 0 : logprobs)) disordered++;
    }
    t.ok(worst <= 1e-4, `logprobs ${logprobs}: within 1e-4 of forward()'s, found ${worst}`);
    t.equal(disordered, 0);
  }
  const without = await model.generate(beginning.ids, { maxTokens: 2, logprobs: false });
  t.notOk('logprobs' in without);
});

test('a model without a tokenizer takes and gives ids, and says what is missing for text', async (t) => {
  const model = await open(t, modelFolder('wide'));
  const { ids, greedy: wanted } = loadGoldens('wide').prompts[0]!;
  const options = { temperature: 0, maxTokens: wanted.length, ignoreEos: true };
  const answer = await model.generate(ids, options);
  t.deepEqual([answer.ids, answer.text], [wanted, '']);
  t.deepEqual((await readAll(model.generate(ids, options))).ids, wanted);
  for (const raw of [true, false])
    await refuses(t, 'KEXA_NOT_FOUND', ['wide/tokenizer.json', 'ids only'], () => model.generate('hello', { raw }));
  await refuses(t, 'KEXA_NOT_FOUND', ['wide/tokenizer.json'], () => model.tokenizer);
});

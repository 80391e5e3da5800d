/**
 * A cache can be shared, cut back, kept for others and written to files. No answer shows any of it. Only `cachedTokens`
 * does, and its numbers are true.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { openModelFolder } from '../../lib/files/model-folder.js';
import type { GenerateOptions, Message, Model, Session } from '../../lib/index.js';
import { checkPlanOptions, withKeptTurns } from '../../lib/plan/memory-plan.js';
import { longPrompt, randomIds, randomNumbers } from '../support/compare.js';
import { type GoldenName, modelFolder } from '../support/goldens.js';
import { ask, greedy, keptBy, newFolder, open, smallModel, testRandomOperations } from '../support/kept-sessions.js';
import { refuses } from '../support/small-model.js';

const mib = 2 ** 20;

test('a fork goes on from what its session has cached, and neither sees the other', async (t) => {
  for (const name of ['tiny', 'two'] satisfies GoldenName[]) {
    const [model, fresh] = [await open(t, name, { contextSize: 512 }), await open(t, name)];
    const session = model.createSession();
    const ids = longPrompt(name);
    const { said } = await ask(session, ids);
    const [one, two] = [await session.fork(), await session.fork()];
    const grown = [...ids, ...said.answer];
    for (const [i, each] of [one, session, two, one, session, two].entries()) {
      const prompt = [...grown, 5 + (i % 3), ...randomIds(9, 100, i % 3)];
      const found = await ask(each, prompt, { mtp: i < 3 ? false : 3 });
      t.deepEqual(found.said, (await ask(fresh, prompt)).said, `${name}, ${i}: answered as by a fresh session`);
      if (i < 3) t.equal(found.cached, ids.length + 2, `${name}, ${i}: ${found.cached} of ${prompt.length} cached`);
    }
    await session.close();
    const last = await ask(one, [...grown, 5, 6]);
    t.deepEqual(last.said, (await ask(fresh, [...grown, 5, 6])).said, `${name}: a fork outlives its session`);
  }
});

test('forks share pages: three sequences of 180 tokens are cached in a context of 384', async (t) => {
  const model = await open(t, 'edge', { contextSize: 384 });
  const ids = randomIds(180, model.config.vocabSize, 1);
  const session = model.createSession();
  await ask(session, ids);
  const all = [session, await session.fork(), await session.fork()];
  for (const [i, each] of all.entries()) t.ok((await ask(each, [...ids, i, 1])).cached >= 180, `${i} goes on`);
  for (const [i, each] of all.entries()) t.ok((await ask(each, [...ids, i, 1, 2])).cached >= 181, `${i} still has it`);
  const [a, b] = [model.createSession(), model.createSession()];
  await ask(a, randomIds(180, model.config.vocabSize, 2));
  await ask(b, randomIds(180, model.config.vocabSize, 3));
  t.equal((await ask(all[0]!, [...ids, 0, 1, 2])).cached, 0, 'what is not shared takes room, as ever');
});

test('a fork does not take the place of its parent, though all others are busy', async (t) => {
  const [model, fresh] = [await open(t, 'edge', { contextSize: 1024, prefixCacheBytes: 0 }), await open(t, 'edge')];
  const ids = randomIds(60, model.config.vocabSize, 1);
  const parent = model.createSession();
  const { said } = await ask(parent, ids);
  // Four sequences are cached at a time. These three began before the fork and go on until one of them makes room for
  // it.
  const others = [1, 2, 3].map((seed) =>
    model.generate(randomIds(40, model.config.vocabSize, seed), { ...greedy, maxTokens: 150 }),
  );
  await Promise.all(others.map((other) => other[Symbol.asyncIterator]().next()));
  const ends = Promise.all(others);
  const child = await parent.fork();
  const prompt = [...ids, ...said.answer, 9];
  const wanted = (await ask(fresh, prompt)).said;
  for (const [name, each] of Object.entries({ parent, child })) {
    const found = await ask(each, prompt);
    t.deepEqual(found, { said: wanted, cached: ids.length + 2 }, `the ${name} goes on from ${found.cached} tokens`);
  }
  await ends;
});

test('rewind keeps as many tokens as it says, and gives pages back', async (t) => {
  const model = await open(t, 'edge', { contextSize: 256, prefillChunk: 7 });
  const fresh = await open(t, 'edge');
  const session = model.createSession();
  t.equal(await session.rewind(0), 0, 'nothing is nothing');
  const ids = randomIds(180, model.config.vocabSize, 4);
  await ask(session, ids);
  t.equal(await session.rewind(500), 182, 'no more than there is');
  t.equal(await session.rewind(175), 175, 'near enough for the rings');
  const near = await ask(session, [...ids.slice(0, 175), 1, 2, 3]);
  t.equal(near.cached, 175);
  t.deepEqual(near.said, (await ask(fresh, [...ids.slice(0, 175), 1, 2, 3])).said, 'answered right');
  t.equal(await session.rewind(100), 0, 'too far for them');
  const far = await ask(session, ids.slice(0, 120));
  t.deepEqual([far.cached, far.said], [0, (await ask(fresh, ids.slice(0, 120))).said], 'and right all the same');
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['tokens'], () => session.rewind(-1));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['tokens'], () => session.rewind(undefined as unknown as number));
  const running = session.generate(ids, { ...greedy, maxTokens: 250 });
  await running[Symbol.asyncIterator]().next();
  for (const work of [() => session.rewind(1), () => session.fork(), () => session.save('x')])
    await refuses(t, 'KEXA_BUSY', ['generating already'], work);
  await running;
  await session.close();
  for (const work of [() => session.rewind(1), () => session.fork(), () => session.save('x')])
    await refuses(t, 'KEXA_CLOSED', ['session'], work);
});

test('prompts that begin like one before go on from it, to the bit, with drafts too', async (t) => {
  for (const name of ['tiny', 'edge', 'two'] satisfies GoldenName[]) {
    const [model, fresh] = [await open(t, name, { prefixCacheBytes: 64 * mib }), await open(t, name)];
    t.equal(model.memory.prefixCache, 64 * mib, 'planned');
    const ids = longPrompt(name);
    for (const mtp of [false, 'auto', 4] as const) {
      const begin = [mtp === 4 ? 7 : mtp === 'auto' ? 8 : 9, ...ids.slice(0, 70)];
      const first = await ask(model, begin, { mtp });
      t.equal(first.cached, 0, `${name}, mtp ${mtp}: at first nothing`);
      // Row p of the MTP block depends on token p + 1 as well, so one less is kept where it must go on.
      const less = mtp === 4 ? 1 : 0;
      const cases: [string, number[], number][] = [
        ['the same again', begin, begin.length - 1 - less],
        ['longer', [...begin, 1, 2, 3], begin.length - less],
        ['the conversation', [...begin, ...first.said.answer, 5], begin.length + 2 - less],
      ];
      for (const [what, prompt, cached] of cases) {
        const found = await ask(model, prompt, { mtp });
        t.equal(found.cached, cached, `${name}, mtp ${mtp}, ${what}: ${found.cached} of ${prompt.length} cached`);
        t.deepEqual(found.said, (await ask(fresh, prompt)).said, 'to the bit');
      }
    }
  }
});

test('long prompts are kept at boundaries, for others that leave them half-way', async (t) => {
  const folder = smallModel(t);
  const options = { contextSize: 4096, prefixCacheBytes: mib, prefillChunk: 100 };
  const [model, fresh] = [await open(t, folder, options), await open(t, folder, { contextSize: 4096 })];
  const ids = randomIds(1500, model.config.vocabSize, 5);
  t.equal((await ask(model, ids)).cached, 0);
  for (const [left, kept] of [
    [1400, 1024],
    [1024, 1024],
    [1023, 1023],
    [1000, 512],
    [300, 0],
  ] as const) {
    const prompt = [...ids.slice(0, left), 1, 2, 3];
    const found = await ask(model, prompt);
    t.equal(found.cached, kept, `left after ${left} tokens, goes on from ${kept}`);
    t.deepEqual(found.said, (await ask(fresh, prompt)).said, 'and is answered right');
  }
});

test('what is kept is bounded, and what was unused for longest goes first', async (t) => {
  const folder = smallModel(t);
  const probe = await open(t, folder, { contextSize: 2048, prefixCacheBytes: mib });
  // The windows' rows have keys and values of two heads of 8 elements in f32; then ids and pages.
  const rings = (7 + 3 + 3 + 12 + 5 + 5) * 2 * 2 * 8 * 4;
  const bytes = rings + 51 * 4;
  t.equal((await ask(probe, randomIds(50, 200, 1), { maxTokens: 1 })).cached, 0);
  const model = await open(t, folder, { contextSize: 2048, prefixCacheBytes: 2 * bytes });
  const [a, b, c] = [1, 2, 3].map((seed) => randomIds(50, 200, seed)) as [number[], number[], number[]];
  const cached = async (ids: number[]) => (await ask(model, ids, { maxTokens: 1 })).cached;
  const found: number[] = [];
  for (const ids of [a, b, a, c, a, b, c]) found.push(await cached(ids));
  t.deepEqual(found, [0, 0, 49, 0, 49, 0, 0], 'two at a time: b goes for c, c for b');
  const none = await open(t, folder, { prefixCacheBytes: bytes >> 1 });
  await ask(none, a);
  t.equal((await ask(none, a)).cached, 0, 'what is larger than all of it is not kept');
});

test('kept prefixes give way to a session that needs the cache', async (t) => {
  const folder = smallModel(t);
  const model = await open(t, folder, { contextSize: 320, prefixCacheBytes: mib });
  const fresh = await open(t, folder);
  const [a, b] = [randomIds(200, 200, 1), randomIds(200, 200, 2)];
  await ask(model, a);
  t.equal((await ask(model, a)).cached, 199, 'four pages of five are held by what was kept');
  t.deepEqual((await ask(model, b)).said, (await ask(fresh, b)).said, 'another prompt takes them');
  t.equal((await ask(model, b)).cached, 199, 'and is kept');
  t.equal((await ask(model, a)).cached, 0, 'in place of the first');
});

/**
 * A conversation with `tiny` whose first answer thinks for `thought` tokens, its end being banned, and its second
 * prompt.
 */
async function thinkAndGoOn(from: Session, tokenizer: Model['tokenizer'], options: GenerateOptions, thought = 90) {
  const messages: Message[] = [{ role: 'user', content: 'How do I insert a table of contents? '.repeat(12) }];
  const end = tokenizer.tokenToId('</think>')!;
  const long = { maxTokens: thought, ignoreEos: true, logitBias: { [end]: Number.NEGATIVE_INFINITY } };
  const first = await from.generate(messages, { ...greedy, ...options, ...long });
  messages.push({ role: 'assistant', content: 'Use the menu.', reasoning: first.reasoning });
  messages.push({ role: 'user', content: 'And then?' });
  const { ids, logprobs, usage } = await from.generate(messages, { ...greedy, ...options, maxTokens: 8 });
  return { said: { ids, logprobs }, first: first.usage, second: usage };
}

test('by default a conversation goes on from its last turn, though its thinking is left out, to the bit', async (t) => {
  const options = { contextSize: 2048, prefillChunk: 16 };
  const [model, none] = [await open(t, 'tiny', options), await open(t, 'tiny', { ...options, prefixCacheBytes: 0 })];
  const wanted = await thinkAndGoOn(none.createSession(), none.tokenizer, {});
  t.equal(wanted.second.cachedTokens, 0, 'without, the rings do not reach back over the thinking');
  for (const mtp of [false, 'auto', 3] as const) {
    const found = await thinkAndGoOn(model.createSession(), model.tokenizer, { mtp });
    t.deepEqual(found.said, wanted.said, `mtp ${mtp}: the same answer`);
    // Row p of the MTP block depends on token p + 1 as well.
    const all = found.first.promptTokens - (mtp === 3 ? 1 : 0);
    t.equal(found.second.cachedTokens, all, `mtp ${mtp}: all of the first prompt's ${all} tokens are cached`);
  }
  const six = Array.from({ length: 6 }, () => model.createSession());
  const last = await Promise.all(six.slice(0, 4).map((from) => thinkAndGoOn(from, model.tokenizer, {})));
  t.deepEqual(
    last.map(({ second }) => second.cachedTokens),
    last.map(({ first }) => first.promptTokens),
    'and of four conversations at once',
  );
  t.ok(last.every(({ said }) => JSON.stringify(said) === JSON.stringify(wanted.said)));
});

test('turns are kept for their session and its forks, through calls of tools, and where a template rewrites more', async (t) => {
  const model = await open(t, 'tiny', { contextSize: 4096, prefillChunk: 16 });
  const [ids, options] = [randomIds(200, 200, 1), { maxTokens: 60 }];
  const ask = async (from: Session, prompt: readonly number[] | readonly Message[]) =>
    (await from.generate(prompt, { ...greedy, ...options })).usage;
  const session = model.createSession();
  await ask(session, ids);
  t.equal((await ask(model.createSession(), ids)).cachedTokens, 0, 'nobody else is told what a session has asked');
  const child = await session.fork();
  await session.close();
  t.equal((await ask(child, [...ids, 5])).cachedTokens, 200, 'a fork has the turns of the session that it is of');

  const messages: Message[] = [{ role: 'user', content: 'How do I insert a table? '.repeat(12) }];
  const agent = model.createSession();
  const { promptTokens } = await ask(agent, messages);
  for (let call = 0; call < 6; call++) {
    messages.push({
      role: 'assistant',
      content: null,
      reasoning: 'x '.repeat(30),
      toolCalls: [{ name: 'f', arguments: {} }],
    });
    messages.push({ role: 'tool', content: 'y '.repeat(20) });
    t.ok((await ask(agent, messages)).cachedTokens >= promptTokens, `call ${call} goes on`);
  }
  messages.push({ role: 'assistant', content: 'Done.' }, { role: 'user', content: 'And then?' });
  t.equal(
    (await ask(agent, messages)).cachedTokens,
    promptTokens,
    'thinking of all calls is left out: from the first prompt',
  );

  const folder = newFolder(t);
  cpSync(modelFolder('tiny'), folder, { recursive: true });
  const file = join(folder, 'chat_template.jinja');
  const template = readFileSync(file, 'utf8');
  const opened = "{{ '<|assistant|>\\n<think>\\n' }}{% if enable";
  t.ok(template.includes(opened), 'the prompt opens the thinking');
  writeFileSync(
    file,
    template.replace(opened, "{{ '<|assistant|>\\n<think>\\nLet me think about that step by step.\\n' }}{% if enable"),
  );
  const [other, none] = [await open(t, folder, { prefillChunk: 16 }), await open(t, folder, { prefixCacheBytes: 0 })];
  const found = await thinkAndGoOn(other.createSession(), other.tokenizer, {});
  const fresh = await thinkAndGoOn(none.createSession(), none.tokenizer, {});
  t.deepEqual(found.said, fresh.said, 'a template that writes more into the thinking: the same answer');
  const rewritten = found.first.promptTokens - found.second.cachedTokens;
  t.ok(rewritten > 2 && rewritten < 20, `all but the ${rewritten} tokens that it writes otherwise are cached`);
});

test('what turns take by default is planned, and no more than is free', async (t) => {
  const folder = smallModel(t);
  const model = await open(t, folder, { contextSize: 256 });
  // One row more than each window, with keys and values of two heads of 8 elements in f32; then ids and pages.
  const turn = (8 + 4 + 4 + 13 + 6) * 2 * 2 * 8 * 4 + (256 + 4) * 4;
  t.equal(model.memory.prefixCache, 4 * turn);
  const { weights, cache, scratch, total } = model.memory;
  t.equal(total, weights.total + cache.total + scratch + 4 * turn, 'and is part of the whole');
  t.equal((await open(t, folder, { prefixCacheBytes: 0 })).memory.prefixCache, 0, 'none, if none is wanted');
  const { description } = await openModelFolder(folder);
  const options = checkPlanOptions({ contextSize: 256, threads: 1 }, 4096);
  const rest = total - 4 * turn - weights.mapped;
  t.equal(withKeptTurns(description, options, rest + 100).prefixCacheBytes, 100, 'no more than the rest leaves');
  t.equal(withKeptTurns(description, options, rest - 1).prefixCacheBytes, 0, 'nothing where that is too much already');
  const onGpu = { ...options, adapter: 'gpu' };
  t.equal(withKeptTurns(description, onGpu, 8000).prefixCacheBytes, 1000, 'beside a GPU an eighth of what is free');
});

test('a session is written to a file and read by another model of the same, to the bit', async (t) => {
  const folder = newFolder(t);
  for (const name of ['tiny', 'edge', 'two'] satisfies GoldenName[])
    for (const cacheType of name === 'edge' ? (['f32', 'bf16', 'q8', 'q4'] as const) : (['f32'] as const)) {
      const file = join(folder, `${name}-${cacheType}`);
      const [model, other] = [await open(t, name, { cacheType }), await open(t, name, { cacheType, prefillChunk: 17 })];
      const session = model.createSession();
      const ids = longPrompt(name);
      const { said } = await ask(session, ids, { mtp: 2 });
      await session.save(file);
      const loaded = await other.loadSession(file);
      const prompt = [...ids, ...said.answer, 5];
      const [found, wanted] = [await ask(loaded, prompt, { mtp: 2 }), await ask(session, prompt, { mtp: 2 })];
      t.equal(found.cached, wanted.cached, `${name}, ${cacheType}: ${found.cached} of ${prompt.length} cached`);
      t.ok(found.cached >= ids.length, 'all of it');
      t.deepEqual(found.said, wanted.said, 'the same answer');
      await model.close();
      await other.close();
    }
  t.deepEqual(
    readdirSync(folder).filter((file) => file.includes('part')),
    [],
    'nothing half-written is left',
  );
});

test('a session from a file goes back as far as the one that was saved, to the bit', async (t) => {
  const folder = newFolder(t);
  const path = smallModel(t);
  const [ids, reach] = [randomIds(150, 200, 1), 40];
  const model = await open(t, path, { prefillChunk: reach + 1, prefixCacheBytes: 0 });
  // Its rings are shorter: of what the file holds they keep the end.
  const small = await open(t, path, { prefillChunk: 11, prefixCacheBytes: 0 });
  const [file, again] = [join(folder, 'session'), join(folder, 'again')];
  const session = model.createSession();
  await ask(session, ids, { maxTokens: 1 });
  await session.save(file);
  await (await model.loadSession(file)).save(again);
  t.deepEqual(readFileSync(again), readFileSync(file), 'what is loaded and saved is the same file');
  for (const back of [1, 3, 10, 11, 25, reach, reach + 1, 60]) {
    const wanted = await ask(await session.fork(), ids.slice(0, 150 - back));
    for (const from of [file, again]) {
      const found = await ask(await model.loadSession(from), ids.slice(0, 150 - back));
      t.deepEqual(found, wanted, `${back} tokens back: ${wanted.cached} cached, the same answer`);
    }
    t.equal(wanted.cached, back <= reach ? 149 - back : 0, 'as far as a chunk of a prompt was long, less one');
    const short = await ask(await small.loadSession(file), ids.slice(0, 150 - back));
    t.deepEqual(short.said, wanted.said, `with shorter rings: ${short.cached} cached, the same answer`);
    t.equal(short.cached > 0, back <= 10);
  }
});

test('a file that is damaged, of another model or of other settings is refused', async (t) => {
  const folder = newFolder(t);
  const file = join(folder, 'session');
  const path = smallModel(t);
  const model = await open(t, path, { contextSize: 256 });
  const session = model.createSession();
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['save', 'none'], () => session.save(file));
  await ask(session, randomIds(70, 200, 1), { maxTokens: 1 });
  await session.save(file);
  const whole = readFileSync(file);
  const random = randomNumbers(1);
  const spots = [
    0,
    9,
    20,
    30,
    41,
    45,
    56,
    100,
    ...Array.from({ length: 40 }, () => Math.floor(random() * whole.length)),
  ];
  for (const at of [...spots, whole.length - 1]) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1 << Math.floor(random() * 8);
    writeFileSync(file, damaged);
    try {
      await model.loadSession(file);
      t.fail(`byte ${at} was changed, and it was read`);
    } catch (error) {
      const { code, message } = error as Error & { code: string };
      const isTold = ['KEXA_BAD_FILE', 'KEXA_SESSION_MISMATCH'].includes(code) && message.includes(file);
      t.ok(isTold && !message.includes('undefined'), `byte ${at}: ${code}: ${message.replace(file, '')}`);
    }
  }
  for (const length of [0, 7, 55, 60, 400, whole.length - 1]) {
    writeFileSync(file, whole.subarray(0, length));
    await refuses(t, 'KEXA_BAD_FILE', [file], () => model.loadSession(file));
  }
  writeFileSync(file, Buffer.concat([whole, Buffer.alloc(1)]));
  await refuses(t, 'KEXA_BAD_FILE', ['wanted', 'found'], () => model.loadSession(file));
  writeFileSync(file, whole);

  await refuses(t, 'KEXA_NOT_FOUND', ['nowhere'], () => model.loadSession(join(folder, 'nowhere')));
  await refuses(t, 'KEXA_WRITE_FAILED', ['nowhere'], () => session.save(join(folder, 'nowhere/session')));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['path'], () => model.loadSession(''));
  const f16 = await open(t, path, { cacheType: 'f16' });
  await refuses(t, 'KEXA_SESSION_MISMATCH', ['cacheType', 'wanted f16', 'found f32'], () => f16.loadSession(file));
  const held = await open(t, path, { weights: 'f32' });
  await refuses(t, 'KEXA_SESSION_MISMATCH', ['model'], () => held.loadSession(file));
  const other = await open(t, smallModel(t, 4));
  await refuses(t, 'KEXA_SESSION_MISMATCH', ['model'], () => other.loadSession(file));
  const short = await open(t, path, { contextSize: 64 });
  await refuses(t, 'KEXA_CONTEXT_FULL', ['64'], () => short.loadSession(file));
  const again = await ask(await model.loadSession(file), randomIds(70, 200, 1));
  t.equal(again.cached, 69, 'and the whole one is read');
});

for (const kept of keptBy) testRandomOperations(kept, 300);

test('prompts tell how far they are', async (t) => {
  const model = await open(t, 'edge' satisfies GoldenName, { prefillChunk: 10 });
  const session = model.createSession();
  const ids = randomIds(45, model.config.vocabSize, 1);
  const told: [number, number][] = [];
  const onPromptProgress = (done: number, total: number) => told.push([done, total]);
  await session.generate(ids, { ...greedy, maxTokens: 3, onPromptProgress });
  t.deepEqual(told[0], [0, 45], 'from the start');
  t.deepEqual(told.at(-1), [45, 45], 'to the end');
  t.ok(
    told.every(([done, total], i) => total === 45 && done % 5 === 0 && (i === 0 || done > told[i - 1]![0])),
    JSON.stringify(told),
  );
  told.length = 0;
  await session.generate([...ids, 1, 2], { ...greedy, maxTokens: 1, onPromptProgress });
  t.deepEqual(
    told,
    [
      [45, 47],
      [47, 47],
    ],
    'what is cached is done already',
  );
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['onPromptProgress'], () =>
    session.generate(ids, { onPromptProgress: 3 as never }),
  );
  const controller = new AbortController();
  const stopped = model.generate(randomIds(400, model.config.vocabSize, 2), {
    ...greedy,
    signal: controller.signal,
    onPromptProgress: (done) => {
      if (done > 0) controller.abort(new Error(`enough at ${done}`));
    },
  });
  const reason = await stopped.then(
    () => 'an answer',
    (error: unknown) => (error as Error).message,
  );
  t.match(reason, /enough at \d+/, 'a prompt is left between chunks');
  t.ok(Number(reason.split(' ').at(-1)) < 400, reason);
});

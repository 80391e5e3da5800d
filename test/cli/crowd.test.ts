/** `kexa verify --crowd`: answers at the same time are what they are alone, and a difference would be told. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { crowdText } from '../../lib/cli/verify-crowd.js';
import type { GenerationResult } from '../../lib/index.js';
import { type CrowdFacts, compareOutcome, crowdRequests, verifyCrowd } from '../../lib/model/crowd.js';
import type { Model } from '../../lib/model/model.js';
import { nativePath } from '../../lib/native.js';
import { kexa, kexaRuns, temporaryFolder, tiny } from '../support/cli.js';
import { openModel, randomIds } from '../support/compare.js';

const facts: CrowdFacts = {
  ...{ count: 300, seed: 5, vocabSize: 515, contextSize: 150, maxTokens: 40, hasDrafts: true, hasText: true },
  sources: [randomIds(90, 515, 1), randomIds(140, 515, 2), [7]],
};

test('a crowd’s requests are random, fit the context, and are the same for the same seed', (t) => {
  const requests = crowdRequests(facts);
  t.deepEqual(crowdRequests(facts), requests, 'the same seed');
  t.notDeepEqual(crowdRequests({ ...facts, seed: 6 }), requests, 'another seed');
  t.deepEqual(JSON.parse(JSON.stringify(requests)), requests, 'JSON holds all of it');
  const of = <Value>(value: (request: (typeof requests)[number]) => Value) => new Set(requests.map(value));
  t.deepEqual(
    [...of(({ options }) => String(options.mtp))].toSorted(),
    ['1', '2', '3', '4', '5', '6', '7', '8', 'auto', 'false'],
    'all numbers of drafts',
  );
  t.deepEqual([...of(({ options }) => options.temperature!)].toSorted(), [0, 0.7, 1, 1.5]);
  for (const name of ['stop', 'logprobs', 'logitBias'] as const)
    t.deepEqual(of(({ options }) => options[name] !== undefined).size, 2, `some with ${name}`);
  const fitting = requests.filter(
    ({ prompt, options, leavesAfter }) =>
      prompt.length >= 1 &&
      prompt.length + options.maxTokens! <= facts.contextSize &&
      (leavesAfter === null || leavesAfter < options.maxTokens!),
  );
  t.equal(fitting.length, requests.length, 'prompt and answer fit');
  const leaving = requests.filter(({ leavesAfter }) => leavesAfter !== null).length;
  t.ok(leaving > 25 && leaving < 90, `${leaving} readers leave`);
  t.ok(requests.filter(({ beginsAt }) => beginsAt === 0).length > 100, 'many begin at once');
  t.ok(requests.at(-1)!.beginsAt > requests[200]!.beginsAt, 'the others in the order given');
  const plain = crowdRequests({ ...facts, hasDrafts: false, hasText: false });
  t.ok(plain.every(({ options: { mtp, stop } }) => mtp === false && stop === undefined));
  t.end();
});

for (const [name, count] of [
  ['tiny', 30],
  ['edge', 60],
] as const)
  test(`${name}: ${count} answers at the same time are what they are alone`, async (t) => {
    const model = await openModel(t, name, { device: 'cpu', threads: 2, contextSize: 1024, prefillChunk: 32 });
    const { vocabSize } = model.config;
    const sources = [randomIds(100, vocabSize, 3), randomIds(40, vocabSize, 4)];
    const own = { ...facts, count, sources, vocabSize, contextSize: 160, maxTokens: 30, hasText: name === 'tiny' };
    const requests = crowdRequests(own);
    const passes: number[] = [];
    const report = await verifyCrowd(model, requests, { onProgress: ({ done, total }) => passes.push(total - done) });
    t.deepEqual(report.divergences, [], 'to the bit');
    t.ok(report.atOnce > 4 && report.left > 0 && report.drafted > 50, JSON.stringify(report));
    t.ok(report.tokens > 5 * count, `${report.tokens} tokens`);
    t.deepEqual([passes.length, passes.at(-1)], [2 * count, 0], 'progress counts to its end');
    const aborted = verifyCrowd(model, requests, { signal: AbortSignal.abort(new Error('enough')) });
    t.equal(await aborted.catch((error: Error) => error.message), 'enough', 'an aborted signal ends it');
  });

test('a model that answers otherwise in company is found', async (t) => {
  const model = await openModel(t, 'edge', { device: 'cpu', threads: 1, contextSize: 1024 });
  let running = 0;
  const wrong = Object.create(model) as Model;
  wrong.generate = ((prompt: readonly number[], options: object) => {
    // The seventh running answer has the prompt of another.
    const generation = model.generate(running++ === 6 ? [...prompt, 3] : prompt, options);
    generation.finally(() => running--).catch(() => {});
    return generation;
  }) as Model['generate'];
  const own = { ...facts, count: 20, sources: [randomIds(30, 515, 9)], hasText: false };
  const report = await verifyCrowd(
    wrong,
    crowdRequests(own).map((request) => ({ ...request, beginsAt: 0, leavesAfter: null })),
  );
  t.ok(report.divergences.length > 0, `${report.divergences.length} divergences`);
  const text = crowdText({ ...report, divergences: report.divergences.slice(0, 1) }, 5, 'cpu');
  t.match(
    text,
    /\n {2}found {5}DIVERGENCE in request 6, (at token|in the log-prob|in how)[^\n]*\n {2}alone .*\n {2}in it /,
  );
  t.match(text, /\n {2}request {3}a prompt of \d+; \{"temperature":/);
  t.match(text, /\nDIVERGENCE in 1: 20 requests, \d+ tokens, on cpu\n$/);
});

test('every kind of difference is told', (t) => {
  const top = [{ id: 5, logprob: -0.25 }];
  const alone = {
    ...{ ids: [5, 6, 7], text: 'a b c', reasoning: '', finishReason: 'stop', stopText: ' d' },
    logprobs: [5, 6, 7].map((id) => ({ id, logprob: -0.5, top })),
  } as unknown as GenerationResult;
  const told = (change: object, mayLeave = false) => {
    const found = compareOutcome(alone, { ...alone, ...change }, mayLeave);
    return found && [found.what, found.position, found.expected, found.found];
  };
  t.equal(told({}), null);
  t.deepEqual(told({ ids: [5, 9, 7] }), ['ids', 1, '6', '9']);
  t.deepEqual(told({ ids: [5, 6] }), ['ids', 2, '7', 'none']);
  t.deepEqual(told({ ids: [5, 6, 7, 8] }), ['ids', 3, 'none', '8']);
  const close = { id: 6, logprob: -0.5, top: [{ id: 5, logprob: -0.25000000000000006 }] };
  t.deepEqual(told({ logprobs: alone.logprobs!.with(1, close) }), [
    ...['logprobs', 1, '6 -0.5, 5 -0.25', '6 -0.5, 5 -0.25000000000000006'],
  ]);
  t.deepEqual(told({ logprobs: undefined }), ['logprobs', 0, '5 -0.5, 5 -0.25', 'none']);
  t.deepEqual(told({ text: 'a B c' }), ['text', 2, '"b c"', '"B c"']);
  t.deepEqual(told({ text: 'a b cd' }), ['text', 5, '""', '"d"']);
  t.deepEqual(told({ stopText: undefined }), ['finish', null, 'stop at " d"', 'stop']);
  t.deepEqual(told({ finishReason: 'aborted' }), ['finish', null, 'stop at " d"', 'aborted at " d"']);
  t.deepEqual(
    compareOutcome(alone, { error: new Error('no room') }, true),
    { what: 'error', position: null, expected: 'stop', found: 'Error: no room' },
    'an error',
  );
  const left = { finishReason: 'aborted', stopText: undefined, text: '' };
  t.equal(told({ ...left, ids: [5, 6] }, true), null, 'a reader who leaves has the beginning');
  t.deepEqual(told({ ...left, ids: [5, 8] }, true), ['ids', 1, '6', '8'], 'of the same answer');
  t.deepEqual(told({ ...left, ids: [5, 6] }, false)![0], 'ids', 'nobody is said to have left who did not');
  t.end();
});

test('kexa verify --crowd: as text and as JSON; called wrongly', async (t) => {
  const base = ['verify', '-m', tiny, '--device', 'cpu', '-t', '1', '--crowd', '12', '-n', '20'];
  const one = await kexa([...base, '-s', '3']);
  t.deepEqual([one.code, one.stderr], [0, '']);
  t.match(
    one.stdout,
    /^crowd of 12 requests, seed 3\n {2}checked {3}\d+ tokens; up to \d+ at once; \d+ left early; \d+ of \d+ drafts kept\n {2}found {5}no divergence\nno divergence: 12 requests, \d+ tokens, on cpu\n$/,
  );
  const json = await kexa([...base, '--json', '-p', 'How do I insert a table?']);
  const { crowd, ...rest } = JSON.parse(json.stdout);
  t.deepEqual([json.code, rest], [0, { model: tiny, device: 'cpu', same: true }]);
  t.deepEqual([crowd.seed, crowd.requests, crowd.divergences], [1, 12, []]);
  const runs = await kexaRuns(
    [
      ['--crowd', '0'],
      ['--seed', '3'],
    ].map((args) => ({ args: ['verify', '-m', tiny, '--device', 'cpu', ...args] })),
  );
  t.deepEqual(
    runs.map(({ code }) => code),
    [2, 2],
  );
  t.match(runs[0]!.stderr, /--crowd <n>' argument '0' is invalid/);
  t.match(runs[1]!.stderr, /--seed: is for --crowd/);
});

test('kexa verify --crowd: an engine that errs ends the command with 1', async (t) => {
  const folder = temporaryFolder(t);
  const addon = join(folder, 'wrong.cjs');
  writeFileSync(
    addon,
    `const real = require(process.env.REAL_ADDON);
let running = 0;
module.exports = { ...real, Engine: class extends real.Engine {
  generate(session, ids, params) {
    const request = super.generate(session, ids, { ...params, seed: params.seed + (running > 2 ? 1 : 0), temperature: 1 });
    running++;
    return { cancel: () => request.cancel(), next: async () => {
      const events = await request.next();
      for (const { kind } of events ?? []) if (kind === 'ended' || kind === 'stopped' || kind === 'failed') running--;
      return events;
    } };
  }
} };`,
  );
  const env = { KEXA_BINARY: addon, REAL_ADDON: nativePath() };
  const run = await kexa(['verify', '-m', tiny, '--device', 'cpu', '-t', '1', '--crowd', '12', '-n', '20'], { env });
  t.equal(run.code, 1, run.stderr);
  t.match(run.stdout, /DIVERGENCE in request \d+, at token \d+\n {2}alone {5}\d+\n {2}in it {5}(\d+|none)\n/);
  t.match(run.stdout, /\nDIVERGENCE in \d+: 12 requests, /);
});

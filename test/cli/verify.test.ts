/**
 * `kexa verify`, `model.verify` and `kexa generate --check`: drafts change no answer, and a change would be reported.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { checkText } from '../../lib/cli/answer-check.js';
import { TokenSpelling } from '../../lib/cli/token-spelling.js';
import { verifyText } from '../../lib/cli/verify-text.js';
import { type Divergence, loadModel, type VerifyReport } from '../../lib/index.js';
import {
  compareAnswer,
  compareRows,
  earliest,
  firstDifference,
  type ReferenceAnswer,
  verifyAnswer,
} from '../../lib/model/verify.js';
import { nativePath } from '../../lib/native.js';
import { genesis, golden, kexa, kexaRuns, temporaryFolder, tiny } from '../support/cli.js';
import { openModel, randomIds } from '../support/compare.js';
import { modelFolder } from '../support/models.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { refuses } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

const eight = [1, 2, 3, 4, 5, 6, 7, 8];
/** A step with eight drafts has nine rows. */
const nine = [...eight, 9];

for (const [name, lengths, maxTokens] of [
  ['tiny', [1, 150], 24],
  ['edge', [1, 40, 150], 16],
  ['two', [20], 12],
] as const)
  test(`${name}: no divergence after prompts of ${lengths.join(', ')} tokens`, async (t) => {
    const model = await openModel(t, name, { device: 'cpu', threads: 1, prefillChunk: 32 });
    for (const length of lengths) {
      const prompt = randomIds(length, model.config.vocabSize, length);
      const plain = await model.generate(prompt, { temperature: 0, maxTokens, ignoreEos: true });
      const passes: number[] = [];
      const report = await model.verify(prompt, {
        maxTokens,
        onProgress: ({ done, total }) => passes.push(total - done),
      });
      t.equal(report.divergence, null, `${length} tokens`);
      t.deepEqual([report.promptTokens, report.ids], [length, plain.ids], 'of the answer that generate gives');
      t.deepEqual([report.drafts.sizes, report.rows.sizes], [eight, nine]);
      t.ok(report.drafts.drafted > 8 && report.drafts.accepted <= report.drafts.drafted);
      t.deepEqual(
        passes,
        Array.from({ length: 18 }, (_, i) => 17 - i),
        'progress counts to its end',
      );
    }
  });

test('a string goes through the chat template; on trained weights drafts are kept', async (t) => {
  const model = await openModel(t, 'tiny', { device: 'cpu', threads: 1 });
  const report = await model.verify('How do I insert a table?', { maxTokens: 30 });
  const plain = await model.generate('How do I insert a table?', { temperature: 0, maxTokens: 30, ignoreEos: true });
  t.deepEqual([report.ids, report.divergence], [plain.ids, null]);
  t.ok(report.drafts.accepted > 50, `${report.drafts.accepted} of ${report.drafts.drafted} drafts were kept`);
  t.equal((await model.verify([5, 6], {})).ids.length, 64, '64 tokens, if nothing is said');
});

test('what there is no room for is not claimed to be checked', async (t) => {
  const small = await openModel(t, 'edge', { device: 'cpu', threads: 1, prefillChunk: 3, contextSize: 20 });
  const report = await small.verify([1, 2, 3, 4, 5]);
  t.deepEqual(
    [report.drafts.sizes, report.rows.sizes],
    [
      [1, 2],
      [1, 2, 3],
    ],
    'in steps of at most 3 rows',
  );
  t.deepEqual([report.ids.length, report.divergence], [15, null], 'to the end of the context');
  const one = await openModel(t, 'edge', { device: 'cpu', threads: 1, prefillChunk: 1 });
  const alone = await one.verify([1, 2], { maxTokens: 1 });
  t.deepEqual([alone.drafts, alone.rows], [{ sizes: [], drafted: 0, accepted: 0 }, { sizes: [1] }]);
  t.deepEqual([alone.ids.length, alone.divergence], [1, null]);
});

test('a model without an MTP block has its rows checked', async (t) => {
  const folder = temporaryFolder(t);
  writeRandomModel(folder, makeRandomModel(sisterConfigs.exaone4Small, 3), {
    dtype: 'BF16',
    experts: 'separate',
    biasUnderGate: false,
    shards: 1,
  });
  const model = await loadModel(folder, { device: 'cpu', threads: 1 });
  t.teardown(() => model.close());
  t.equal(model.config.mtp, null);
  const { drafts, rows, divergence } = await model.verify([1, 2, 3], { maxTokens: 12 });
  t.deepEqual([drafts.sizes, rows.sizes, divergence], [[], nine, null]);
});

test('verify refuses wrong options by name, and can be aborted', async (t) => {
  const model = await openModel(t, 'edge', { device: 'cpu', threads: 1, contextSize: 64 });
  for (const maxTokens of [0, 1.5, '5'] as never[])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['maxTokens'], () => model.verify([1], { maxTokens }));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['maxTokens', 'max_tokens'], () =>
    model.verify([1], { max_tokens: 5 } as never),
  );
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['onProgress'], () => model.verify([1], { onProgress: 5 as never }));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['signal'], () => model.verify([1], { signal: {} as never }));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['prompt'], () => model.verify(5 as never));
  await refuses(t, 'KEXA_NOT_FOUND', ['tokenizer.json'], () => model.verify('text'));
  await refuses(t, 'KEXA_CONTEXT_FULL', ['prompt'], () => model.verify(randomIds(64, 515, 1)));
  const controller = new AbortController();
  const reason = new Error('enough');
  const onProgress = ({ done }: { done: number }) => {
    if (done === 5) controller.abort(reason);
  };
  try {
    await model.verify([1, 2], { maxTokens: 10, signal: controller.signal, onProgress });
    t.fail('it was not aborted');
  } catch (error) {
    t.equal(error, reason);
  }
  await model.close();
  await refuses(t, 'KEXA_CLOSED', ['closed'], () => model.verify([1]));
});

/** Three rows of logits over a vocabulary of four; the answer takes each row's best. */
const made: ReferenceAnswer = {
  ids: [2, 0, 3],
  logits: Float32Array.of(0, 1, 4, 3.5, 7, -1, 6.75, 2, 1, 1, 1, 5),
  vocabSize: 4,
};

function changed(changes: Record<number, number>): Float32Array {
  const logits = made.logits.slice();
  for (const [index, value] of Object.entries(changes)) logits[Number(index)] = value;
  return logits;
}

test('another token with drafts is found, with both logits and the margin', (t) => {
  t.equal(compareAnswer(made, 3, [2, 0, 3]), null);
  const wanted: Divergence = {
    check: 'drafts',
    size: 3,
    position: 1,
    expected: { id: 0, logit: 7 },
    found: { id: 2, logit: 6.75 },
    margin: 0.25,
  };
  t.deepEqual(compareAnswer(made, 3, [2, 2, 1]), wanted, 'the first of two');
  t.throws(() => compareAnswer(made, 3, [2, 0]), /3 drafts: wanted 3 tokens, found 2/);
  t.end();
});

test('other logits are found to the bit, and a best token that is not the answer’s', async (t) => {
  for (const size of nine) t.equal(await compareRows(made, size, made.logits.slice()), null);
  t.deepEqual(
    await compareRows(made, 5, changed({ 2: 3.25, 1: 0.5, 11: 0 })),
    {
      check: 'rows',
      size: 5,
      position: 0,
      expected: { id: 2, logit: 4 },
      found: { id: 3, logit: 3.5 },
      margin: 0.5,
      differing: { count: 2, id: 2, expected: 4, found: 3.25 },
    },
    'the best is another',
  );
  const bit = await compareRows(made, 2, changed({ 10: 1 + 2 ** -23 }));
  t.deepEqual(
    [bit?.position, bit?.expected, bit?.found, bit?.differing],
    [2, { id: 3, logit: 5 }, { id: 3, logit: 5 }, { count: 1, id: 2, expected: 1, found: 1 + 2 ** -23 }],
    'one bit of a logit that is not the best',
  );
  t.equal((await compareRows(made, 2, changed({ 0: -0 })))?.position, 0, 'minus zero is not zero');
  const nan = await compareRows(made, 2, changed({ 4: 0, 5: Number.NaN, 6: 0 }));
  t.deepEqual([nan?.differing?.count, nan?.differing?.id], [3, 1], 'not a number differs most');

  const wrong = await compareRows({ ...made, ids: [2, 2, 3] }, 1, made.logits);
  t.deepEqual(
    wrong,
    {
      check: 'rows',
      size: 1,
      position: 1,
      expected: { id: 2, logit: 6.75 },
      found: { id: 0, logit: 7 },
      margin: 0.25,
    },
    'the answer is not what its logits say',
  );
  const tie: ReferenceAnswer = { ids: [1], logits: Float32Array.of(1, 2, 2), vocabSize: 3 };
  t.equal(await compareRows(tie, 1, tie.logits), null, 'of equals the lowest id is the best');
  t.deepEqual((await compareRows({ ...tie, ids: [2] }, 1, tie.logits))?.margin, 0);
  try {
    await compareRows(made, 2, made.logits.subarray(4));
    t.fail('rows are missing');
  } catch (error) {
    t.match(String(error), /batches of 2 rows: wanted 12 logits, found 8/);
  }
});

test('of several divergences the first in the answer is told', (t) => {
  const at = (position: number, check: Divergence['check']): Divergence => ({
    check,
    size: 1,
    position,
    expected: { id: 0, logit: 0 },
    found: { id: 0, logit: 0 },
    margin: 0,
  });
  t.equal(earliest([null, null]), null);
  const drafts = at(3, 'drafts');
  t.equal(earliest([null, at(7, 'drafts'), drafts, at(3, 'rows')]), drafts);
  t.end();
});

const report: VerifyReport = {
  promptTokens: 4,
  ids: [2, 0, 3],
  drafts: { sizes: eight, drafted: 10, accepted: 6 },
  rows: { sizes: nine },
  divergence: null,
};

test('a divergence is told in words', (t) => {
  const spelling = new TokenSpelling(null);
  t.equal(
    verifyText('prompt', report, spelling),
    'prompt\n  checked   3 tokens after a prompt of 4; 1 to 8 drafts a step, 6 of 10 kept\n' +
      '            logits in batches of 1 to 9 rows\n  found     no divergence\n',
  );
  const divergence: Divergence = {
    check: 'rows',
    size: 5,
    position: 1,
    expected: { id: 0, logit: 7 },
    found: { id: 2, logit: 6.75 },
    margin: 0.25,
    differing: { count: 2, id: 1, expected: -1, found: 1 + 2 ** -23 },
  };
  t.equal(
    verifyText('prompt', { ...report, divergence }, spelling)
      .split('\n')
      .slice(3)
      .join('\n'),
    '  found     DIVERGENCE in batches of 5 rows, at token 1 of the answer\n' +
      '  expected  0, logit 7; the best logit leads by 0.25\n' +
      '  instead   2, logit 6.75\n' +
      '  logits    2 differ; most that of 1, -1 and 1.00000012\n',
  );
  t.match(
    verifyText('prompt', { ...report, divergence: { ...divergence, check: 'drafts', size: 1 } }, spelling),
    /DIVERGENCE with 1 draft a step/,
  );
  t.end();
});

test('the first difference of two answers', (t) => {
  t.equal(firstDifference([1, 2], [1, 2]), null);
  t.deepEqual(firstDifference([1, 2, 3], [1, 5, 6]), { position: 1, expected: 2, found: 5 });
  t.deepEqual(firstDifference([1, 2], [1]), { position: 1, expected: 2, found: null });
  t.deepEqual(firstDifference([], [0]), { position: 0, expected: null, found: 0 });
  const spelling = new TokenSpelling(null);
  const told = checkText(
    { same: false, firstDifference: { position: 1, expected: 2, found: null } },
    { ids: [1] },
    spelling,
  );
  t.equal(told, 'kexa: checked: without drafts the answer is another: token 1 is 2, with them none\n');
  t.end();
});

interface Verified {
  model: string;
  device: string;
  same: boolean;
  prompts: (VerifyReport & { prompt: string })[];
}

test('kexa verify: one prompt, many, built-in ones; as text and as JSON', async (t) => {
  const cpu = ['--device', 'cpu', '-t', '1'];
  const one = await kexa(['verify', '-m', tiny, '-p', 'How do I insert a table?', '-n', '10', ...cpu]);
  t.deepEqual([one.code, one.stderr], [0, '']);
  t.match(
    one.stdout,
    /^prompt 1 of 1: "How do I insert a table\?"\n {2}checked {3}10 tokens after a prompt of \d+; 1 to 8 drafts/,
  );
  t.match(one.stdout, /\n {2}found {5}no divergence\nno divergence: 1 prompt, 10 tokens, on cpu\n$/);

  const file = join(temporaryFolder(t), 'prompts.txt');
  writeFileSync(file, `${genesis}\n\n  \r\n안녕\n`);
  const many = await kexa(['verify', '-m', tiny, '--prompts', file, '--raw', '-n', '6', '--json', ...cpu]);
  t.deepEqual([many.code, many.stderr, many.stdout.split('\n').length], [0, '', 2]);
  const { prompts, ...rest } = JSON.parse(many.stdout) as Verified;
  t.deepEqual(rest, { model: tiny, device: 'cpu', same: true });
  t.deepEqual(
    prompts.map(({ prompt }) => prompt),
    [genesis, '안녕'],
  );
  t.equal(Object.keys(prompts[0]!).join(' '), 'prompt promptTokens ids drafts rows divergence');
  t.deepEqual([prompts[0]!.promptTokens, prompts[0]!.ids], [golden.ids.length, golden.greedy.slice(0, 6)]);
  t.deepEqual([prompts[0]!.drafts.sizes, prompts[0]!.rows, prompts[0]!.divergence], [eight, { sizes: nine }, null]);

  const piped = ['verify', '-m', modelFolder('edge'), '--prompts', '-', '--ids', '-n', '3', '--json', ...cpu];
  const ids = await kexa(piped, { input: '5 6 7\n8,9\n' });
  t.deepEqual(
    (JSON.parse(ids.stdout) as Verified).prompts.map(({ prompt, promptTokens }) => [prompt, promptTokens]),
    [
      ['5 6 7', 3],
      ['8,9', 2],
    ],
  );
  for (const [folder, count] of [
    [tiny, 4],
    [modelFolder('edge'), 3],
  ] as const) {
    const builtIn = await kexa(['verify', '-m', folder, '-n', '2', '--json', ...cpu]);
    t.deepEqual(
      [builtIn.code, (JSON.parse(builtIn.stdout) as Verified).prompts.length],
      [0, count],
      'built-in prompts',
    );
  }
});

test('kexa verify: called wrongly', async (t) => {
  const empty = join(temporaryFolder(t), 'empty.txt');
  writeFileSync(empty, '\n \n');
  const cases: [string[], number, RegExp][] = [
    [['-p', 'a', '--prompts', empty], 2, /either -p, --prompt or --prompts/],
    [['--prompts', empty], 2, /empty\.txt has only empty lines/],
    [['--prompts', '/no/such/file'], 1, /\/no\/such\/file: no such file/],
    [['-n', '0', '-p', 'a'], 2, /'-n, --max-tokens <n>' argument '0' is invalid/],
    [['--ids', '-p', 'a b'], 2, /wanted token ids/],
    [['--ids', '-p', '99999999'], 1, /prompt\[0\]: wanted a token id/],
    [['--mtp', '2'], 2, /unknown option '--mtp'/],
    [['-p', 'a', '-c', '4'], 1, /prompt: more than 4 tokens do not fit the context of 4/],
  ];
  const runs = await kexaRuns(cases.map(([args]) => ({ args: ['verify', '-m', tiny, '--device', 'cpu', ...args] })));
  for (const [i, [args, code, message]] of cases.entries()) {
    const run = runs[i]!;
    t.deepEqual([run.code, run.stdout], [code, ''], args.join(' '));
    t.match(run.stderr, message);
  }
  const none = await kexa(['verify']);
  t.equal(none.code, 2);
  t.match(none.stderr, /no model/);
});

test('generate --check says that the answer is the same without drafts', async (t) => {
  const base = ['generate', '-m', tiny, '--device', 'cpu', '-t', '1', '--raw', '-n', '30', '-p', genesis, '--check'];
  for (const more of [
    ['--temp', '0', '--mtp', '3'],
    ['--temp', '0.9', '--mtp', '8', '--stop', 'e', '--ignore-eos'],
    ['--temp', '0'],
  ]) {
    const run = await kexa([...base, ...more]);
    t.equal(run.code, 0, more.join(' '));
    t.match(run.stderr, /^kexa: checked: without drafts the answer has the same \d+ tokens?\n$/);
    const plain = await kexa([...base.slice(0, -1), ...more, ...(more[1] === '0' ? [] : ['-s', '1'])]);
    t.equal(plain.stderr, '', 'nothing is said unasked');
  }
  const json = await kexa([...base, '--mtp', '3', '--json', '--timings']);
  const { check, speculation } = JSON.parse(json.stdout);
  t.deepEqual([json.code, check], [0, { same: true, firstDifference: null }]);
  const kept = (speculation.byPosition as { drafted: number; accepted: number }[])
    .map(({ drafted, accepted }) => (accepted / drafted).toFixed(2))
    .join(' ');
  t.ok(json.stderr.includes(`; drafts kept ${kept}, `), json.stderr);
});

/**
 * A wrong addon: with FROM_DRAFTS drafts or more the fourth token is another, and in steps of WRONG_ROWS rows the logit
 * of id 7 is another.
 */
const erringAddon = `
const real = require(process.env.REAL_ADDON);
const changing = (request, change) => ({
  cancel: () => request.cancel(),
  next: async () => {
    const events = await request.next();
    for (const event of events ?? []) change(event);
    return events;
  },
});
module.exports = {
  ...real,
  Engine: class extends real.Engine {
    forward(ids, params) {
      const request = super.forward(ids, params);
      if (params.stepRows !== Number(process.env.WRONG_ROWS)) return request;
      return changing(request, (event) => { if (event.kind === 'forwarded') event.logits[7] += 0.5; });
    }
    generate(session, ids, params) {
      const request = super.generate(session, ids, params);
      let tokens = 0;
      if (params.drafts < Number(process.env.FROM_DRAFTS)) return request;
      return changing(request, (event) => {
        if (event.kind !== 'tokens') return;
        const at = 3 - tokens;
        if (at >= 0 && at < event.ids.length) event.ids[at] = 9;
        tokens += event.ids.length;
      });
    }
  },
};
`;

test('what a core that errs does is told, and ends with 1', async (t) => {
  const addon = join(temporaryFolder(t), 'erring.cjs');
  writeFileSync(addon, erringAddon);
  const env = { KEXA_BINARY: addon, REAL_ADDON: nativePath(), FROM_DRAFTS: '1', WRONG_ROWS: '5' };
  const base = ['-m', tiny, '--device', 'cpu', '-t', '1', '-n', '6', '-p', genesis, '--raw'];
  const [best, , , fourth] = golden.greedy;

  const text = await kexa(['verify', ...base], { env });
  t.deepEqual([text.code, text.stderr], [1, '']);
  t.match(
    text.stdout,
    /found {5}DIVERGENCE in batches of 5 rows, at token 0 of the answer\n/,
    'the first in the answer',
  );
  t.match(
    text.stdout,
    /\n {2}logits {4}1 differ; most that of 7, [-\d.e]+ and [-\d.e]+\nDIVERGENCE in 1: 1 prompt, 6 tokens/,
  );
  const json = await kexa(['verify', ...base, '--json'], { env });
  const { same, prompts } = JSON.parse(json.stdout) as Verified;
  const { check, size, position, expected, found, margin, differing } = prompts[0]!.divergence!;
  t.deepEqual([json.code, same, check, size, position], [1, false, 'rows', 5, 0]);
  t.deepEqual([expected.id, found, differing!.count, differing!.id], [best, expected, 1, 7]);
  t.equal(differing!.found, Math.fround(differing!.expected + 0.5));
  t.ok(margin > 0 && margin < 20, `margin ${margin}`);

  const checked = ['generate', ...base, '--temp', '0', '--mtp', '2', '--check'];
  const told = await kexa(checked, { env });
  t.equal(told.code, 1);
  t.ok(
    told.stderr.startsWith(`kexa: checked: without drafts the answer is another: token 3 is ${fourth} "`),
    told.stderr,
  );
  const result = await kexa([...checked, '--json'], { env });
  t.equal(result.code, 1);
  const firstOfAnswer = { position: 3, expected: fourth, found: 9 };
  t.deepEqual(JSON.parse(result.stdout).check, { same: false, firstDifference: firstOfAnswer });
});

test('what errs only with eight drafts, or in steps of nine rows, is found', async (t) => {
  const addon = join(temporaryFolder(t), 'erring.cjs');
  writeFileSync(addon, erringAddon);
  const env = { KEXA_BINARY: addon, REAL_ADDON: nativePath() };
  const command = ['verify', '-m', tiny, '--device', 'cpu', '-t', '1', '-n', '6', '-p', genesis, '--raw', '--json'];
  const verified = async (fromDrafts: number, wrongRows: number) => {
    const run = await kexa(command, { env: { ...env, FROM_DRAFTS: `${fromDrafts}`, WRONG_ROWS: `${wrongRows}` } });
    return { code: run.code, divergence: (JSON.parse(run.stdout) as Verified).prompts[0]!.divergence };
  };
  const model = await openModel(t, 'tiny', { device: 'cpu', threads: 1 });
  const text = [...golden.ids, ...golden.greedy.slice(0, 3)];
  const logits = [...(await model.forward(text, { logits: 'last' })).logits];
  const [best, second] = [...logits].sort((a, b) => b - a) as [number, number];
  const wanted: Divergence = {
    check: 'drafts',
    size: 8,
    position: 3,
    expected: { id: golden.greedy[3]!, logit: best },
    found: { id: 9, logit: logits[9]! },
    margin: best - second,
  };
  t.deepEqual(await verified(8, 0), { code: 1, divergence: wanted }, 'place, both ids, both logits and the margin');
  const { code, divergence } = await verified(9, 9);
  t.deepEqual([code, divergence?.check, divergence?.size, divergence?.position], [1, 'rows', 9, 0]);
  t.deepEqual(await verified(9, 10), { code: 0, divergence: null }, 'and nothing where nothing errs');
});

test('all logits of an answer must fit one pass; a divergence of the replay is found', async (t) => {
  const model = await openModel(t, 'edge', { device: 'cpu', threads: 1 });
  const { vocabSize } = model.config;
  const parts = {
    model,
    prefillChunk: 9,
    largestReplay: 12 * vocabSize,
    replay: async (ids: Uint32Array, leadRows: number, stepRows: number) => {
      const logits = (await model.forward(ids)).logits.slice((leadRows - 1) * vocabSize);
      if (stepRows === 4) logits[2 * vocabSize + 100] = 1e6;
      return logits;
    },
  };
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['maxTokens: wanted at most 12', '13'], () =>
    verifyAnswer(parts, [1, 2, 3], { maxTokens: 13 }),
  );
  const { divergence, ids } = await verifyAnswer(parts, [1, 2, 3], { maxTokens: 12 });
  t.deepEqual([divergence?.check, divergence?.size, divergence?.position], ['rows', 4, 2]);
  t.deepEqual([divergence?.expected.id, divergence?.found], [ids[2], { id: 100, logit: 1e6 }]);
});

// Steps of at most three rows: a software GPU takes long to compile the kernels of each number of rows.
test('SwiftShader: no divergence on edge', async (t) => {
  useSoftwareGpu();
  const model = await openModel(t, 'edge', { device: 'swiftshader', prefillChunk: 3 });
  const { drafts, rows, divergence } = await model.verify(randomIds(9, model.config.vocabSize, 4), { maxTokens: 9 });
  t.deepEqual([drafts.sizes, rows.sizes, divergence], [[1, 2], [1, 2, 3], null]);
});

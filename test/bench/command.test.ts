/** The command `kexa bench` and the function `benchmark`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { countList, countPair, draftList, sessionList, sweepContexts, sweepStep } from '../../lib/cli/bench-lists.js';
import { benchText } from '../../lib/cli/bench-output.js';
import { type BenchResult, benchmark, benchmarkOps, type KexaError, loadModel, readSuite } from '../../lib/index.js';
import { kexa, root, temporaryFolder, tiny } from '../support/cli.js';

test('bench: names, fields and figures agree with one another', async (t) => {
  const args = ['-p', '16', '-n', '8', '--pg', '12,6', '-d', '0-40+40', '--mtp', 'off,2', '-r', '3', '-t', '1'];
  const run = await kexa(['bench', '-m', tiny, ...args, '-o', 'json']);
  t.equal(run.code, 0);
  t.equal(run.stderr, '');
  const results = JSON.parse(run.stdout) as BenchResult[];
  const names = (depth: string) =>
    ['pp16', 'tg8', 'pg12,6', 'tg8', 'pg12,6'].map((name, i) => `${name}${depth}${i > 2 ? ' mtp 2' : ''}`);
  t.deepEqual(
    results.map((result) => result.test),
    [...names(''), ...names(' @ d40')],
  );
  const model = await loadModel(tiny);
  for (const result of results) {
    const { samples_ns: ns, samples_ts: rates, n_prompt: prompt, n_gen: generated } = result;
    t.equal(ns.length, 3);
    t.equal(result.avg_ns, ns.reduce((sum, one) => sum + one, 0) / 3);
    // A context that drafts see again is computed with the prompt.
    const tokens = rates.map((rate, i) => (rate * ns[i]!) / 1e9);
    const least = prompt + generated;
    t.ok(
      tokens.every((count) => count > least - 0.01 && count < least + 1.01),
      `${result.test}: ${tokens} tokens timed`,
    );
    t.equal(result.model_size, model.memory.weights.total);
    t.equal(result.num_draft_tokens > 0, result.mtp === 2);
    t.equal(
      result.acceptance_histogram.reduce((sum, count, i) => sum + count * i, 0),
      result.num_accepted_draft_tokens,
    );
    t.ok(result.copy_gb_per_s! > 0 && result.f32_gflop_per_s! > 0, 'the device itself was measured');
    if (prompt === 0) {
      const { attention, experts, head, kv, mtp, other, total } = result.bytes_per_token!;
      t.equal(attention + experts + head + kv + mtp + other, total, 'the parts are the whole');
      const weights = model.config.activeParameters * 2;
      const off = Math.abs(attention + experts + head - weights) / weights;
      t.ok(off < 1e-3, `weights read are those active, but for norms: ${off.toFixed(4)} off`);
      const read = result.bytes_read_per_token!;
      t.ok(Math.abs(result.gb_per_s! - (read.total * result.avg_ts) / 1e9) < 1e-9);
      t.ok(Math.abs(result.bandwidth_share! - result.gb_per_s! / result.copy_gb_per_s!) < 1e-9);
      if (result.mtp === false) {
        // One way counts what tensors hold, the other what routers chose step by step.
        for (const part of ['attention', 'experts', 'head', 'kv', 'other', 'total'] as const)
          t.ok(Math.abs(read[part] / result.bytes_per_token![part] - 1) < 0.01, `${result.test}: ${part} as counted`);
        t.equal(result.experts_per_step, model.config.moe!.topK);
        t.equal(result.rows_per_step, 1);
      } else {
        t.ok(result.experts_per_step! > model.config.moe!.topK && result.rows_per_step! > 1);
        t.ok(read.mtp > 0 && read.attention < attention, 'rows of a step share what they read');
        t.equal(result.speedup, result.avg_ts / results.find(({ test }) => test === result.test.slice(0, -6))!.avg_ts);
      }
    }
  }
  const hashOf = (name: string) => results.find((result) => result.test === name)!.ids_hash;
  t.equal(hashOf('tg8'), hashOf('tg8 mtp 2'), 'drafts change no token');
  t.equal(hashOf('pg12,6 @ d40'), hashOf('pg12,6 @ d40 mtp 2'));
  const logitsOf = (name: string) => results.find((result) => result.test === name)!.logits_hash;
  t.equal(logitsOf('tg8'), logitsOf('tg8 mtp 2'), 'nor any logit');
  t.notEqual(logitsOf('tg8'), logitsOf('tg8 @ d40'));
  await model.close();
});

test('bench: keys and values are as many as windows let a layer see', async (t) => {
  const tests = [0, 100].map((depth) => ({ prompt: 0, generated: 1, depth, mtp: false as const }));
  const [near, far] = await benchmark(tiny, { tests, repetitions: 1, warmUp: false, rates: false });
  const model = await loadModel(tiny);
  const bytes = (position: number) =>
    model.config.layers.reduce(
      (sum, { window }) => sum + (window === 0 ? position + 1 : Math.min(window, position + 1)),
      0,
    ) *
    (2 * model.config.kvHeads * model.config.headDim * 4);
  t.equal(near!.bytes_per_token!.kv, bytes(1));
  t.equal(far!.bytes_per_token!.kv, bytes(101));
  await model.close();
});

test('bench: bytes a token reads are those of the types that weights are held in', async (t) => {
  const tests = [{ prompt: 0, generated: 1, depth: 0, mtp: false as const }];
  const bytes: number[] = [];
  for (const weights of ['f32', 'bf16', 'q8'] as const) {
    const [result] = await benchmark(tiny, { tests, weights, repetitions: 1, warmUp: false, rates: false });
    bytes.push(result!.bytes_per_token!.total - result!.bytes_per_token!.kv);
  }
  // Norms and other vectors stay as the file has them.
  t.ok(Math.abs(bytes[0]! / bytes[1]! - 2) < 2e-3, `${bytes[0]! / bytes[1]!}`);
  // 34 bytes for 32 weights; the routers stay as they are.
  t.ok(Math.abs(bytes[2]! / bytes[1]! - 34 / 64) < 5e-3, `${bytes[2]! / bytes[1]!}`);
});

test('bench: formats', async (t) => {
  const common = ['bench', '-m', tiny, '-p', '8', '-n', '4', '-r', '1', '--no-warmup'];
  const md = await kexa([...common, '--output-err', 'jsonl']);
  t.match(
    md.stdout,
    /^\| model +\| size .*\n\| -+ \|.*\n\| .* \| pp8 +\|.*\n\| .* \| tg4 +\|.*\n\nloaded in .*: copies .* GB\/s.*\n$/,
  );
  const lines = md.stderr.trim().split('\n');
  t.deepEqual(
    lines.map((line) => (JSON.parse(line) as BenchResult).test),
    ['pp8', 'tg4'],
  );
  const csv = await kexa([...common, '-o', 'csv']);
  const [header, ...rows] = csv.stdout.trim().split('\n');
  t.equal(rows.length, 2);
  t.ok(header!.startsWith('test,kind,suite,build_commit,model_filename,'));
  for (const row of rows) t.equal(row.split(',').length, header!.split(',').length);
  t.notOk(md.stdout.includes('±'), 'one run has no deviation');
  const twice = { ...(JSON.parse(lines[0]!) as BenchResult), samples_ts: [90, 110], avg_ts: 100, stddev_ts: 14.1 };
  t.match(benchText([twice], 'md'), /100\.0 ± 14\.10/);
  t.notOk(benchText([twice], 'md').includes('noise'));
  t.match(
    benchText([{ ...twice, samples_ts: [60, 140], stddev_ts: 56.6 }], 'md'),
    /\nnoise: runs of pp8 vary by more than a fifth; .*\n$/,
  );
});

test('bench: wrong usage', async (t) => {
  const wrong = async (args: string[], pattern: RegExp, code = 2) => {
    const run = await kexa(['bench', '-m', tiny, ...args]);
    t.equal(run.code, code, args.join(' '));
    t.match(run.stderr, pattern);
    t.equal(run.stdout, '');
  };
  await Promise.all([
    wrong(['-p', '0', '-n', '0'], /no test: -p and -n are both 0/),
    wrong(['-p', '1-9*1'], /It takes counts/),
    wrong(['-c', '100'], /leave it out/),
    wrong(['-p', '600000'], /pp600000: wanted a context of 600001 tokens, found a model of at most 4096/, 1),
    wrong(['-r', '0'], /integer from 1/),
    wrong(['--suite', 'chat', '-n', '4'], /-n: not together with --suite/),
    wrong(['--suite', 'none'], /none: no such file; suites that come with kexa: chat, /, 1),
    wrong(['--step', '64'], /--step: not together with tests other than a sweep/),
    wrong(['--ctx-max', '64', '--ctx-start', '65'], /--ctx-start: larger than --ctx-max/),
    wrong(
      ['-p', '0', '-n', '1000', '--concurrency', '8'],
      /tg1000 x8: wanted a context of 8192 tokens, found a model/,
      1,
    ),
    wrong(['--ops', 'x.json'], /--ops: for a --report only/),
  ]);
});

test('bench: lists of counts, pairs, drafts, contexts and sessions', (t) => {
  t.deepEqual(countList('5,8-12+2,1-9*2', [3]), [3, 5, 8, 10, 12, 1, 2, 4, 8]);
  t.deepEqual(countPair('512,128', undefined), [[512, 128]]);
  t.deepEqual(draftList('off,auto,8', undefined), [false, 'auto', 8]);
  t.deepEqual(sessionList('1,64', [2]), [2, 1, 64]);
  t.deepEqual(sweepContexts(512, 3000, sweepStep('*2')), [512, 1024, 2048, 3000]);
  t.deepEqual(sweepContexts(100, 300, sweepStep('100')), [100, 200, 300]);
  t.throws(() => countList('5-1', undefined), /It takes counts/);
  t.throws(() => draftList('9', undefined), /off, auto or 1 to 8/);
  t.throws(() => countPair('5', undefined), /two counts/);
  t.throws(() => sessionList('0', undefined), /sessions from 1 to 64/);
  for (const text of ['*1', '0', '', '+', '1.5']) t.throws(() => sweepStep(text), /a factor: 512 or \*2/, text);
  t.throws(() => sweepContexts(1, 2000, sweepStep('1')), /at most 1000/);
  t.end();
});

test('benchmark: an aborted run gives what is complete', async (t) => {
  const abort = new AbortController();
  const results = await benchmark(tiny, {
    tests: [
      { prompt: 4, generated: 0, depth: 0, mtp: false },
      { prompt: 0, generated: 2000, depth: 0, mtp: false },
    ],
    warmUp: false,
    rates: false,
    signal: abort.signal,
    onRun: () => abort.abort(),
  });
  t.deepEqual(
    results.map((result) => [result.test, result.samples_ns.length]),
    [['pp4', 1]],
  );
  const tests = [{ prompt: 4, generated: 0, depth: 0, mtp: false as const }];
  t.deepEqual(await benchmark(tiny, { tests, signal: AbortSignal.abort() }), [], 'before anything is complete');
  t.deepEqual(await benchmark(tiny, { tests, signal: AbortSignal.timeout(1) }), [], 'while the device is measured');
});

test('benchmark, benchmarkOps, readSuite: whatever is wrong has a name', async (t) => {
  const good = { prompt: 4, generated: 0, depth: 0, mtp: false };
  const sweep = { contexts: [8, 16], generated: 0, mtp: false };
  const prompt = { suite: 's', name: 'n', prompt: 'x', raw: false, maxTokens: 1 };
  const refused = async (call: Promise<unknown>, pattern: RegExp) => {
    try {
      await call;
      t.fail(String(pattern));
    } catch (error) {
      t.equal((error as KexaError).code, 'KEXA_INVALID_ARGUMENT', String(error));
      t.match((error as Error).message, pattern);
    }
  };
  for (const [options, pattern] of [
    [undefined, /^tests: wanted a test, a sweep or a prompt, found none/],
    [null, /^benchmark: wanted an object, found null/],
    [{ tests: [], sweeps: [] }, /^tests: .* found none/],
    [{ tests: 5 }, /^tests: wanted an array, found 5/],
    [{ tests: [5] }, /^tests\[0\]: wanted an object with prompt, /],
    [{ tests: [good, { prompt: 32 }] }, /^tests\[1\]\.generated: wanted an integer from 0 .* found undefined/],
    [{ tests: [{ ...good, prompt: -5 }] }, /^tests\[0\]\.prompt: .* found -5/],
    [{ tests: [{ ...good, prompt: Number.NaN }] }, /^tests\[0\]\.prompt: .* found NaN/],
    [{ tests: [{ ...good, prompt: 0 }] }, /^tests\[0\]: wanted tokens to read or to generate/],
    [{ tests: [{ ...good, mtp: 9 }] }, /^tests\[0\]\.mtp: wanted false, 'auto' or a number/],
    [{ tests: [{ ...good, sessions: 0 }] }, /^tests\[0\]\.sessions: /],
    [{ tests: [{ ...good, depht: 0 }] }, /^tests\[0\]: there is no option 'depht'/],
    [{ tests: [good], contextSize: 100 }, /^benchmark: there is no option 'contextSize'/],
    [{ tests: [good], repetitions: 0 }, /^repetitions: /],
    [{ tests: [good], repetitions: '2' }, /^repetitions: .* found "2"/],
    [{ tests: [good], warmUp: 1 }, /^warmUp: wanted true or false, found 1/],
    [{ tests: [good], rates: 'no' }, /^rates: wanted true or false/],
    [{ tests: [good], text: 5 }, /^text: wanted a text, found 5/],
    [{ tests: [good], onRun: 5 }, /^onRun: wanted a function, found 5/],
    [{ tests: [good], signal: {} }, /^signal: wanted an AbortSignal/],
    [{ tests: [good], synthetic: 'yes' }, /^synthetic: wanted true, false or \{ layers \}/],
    [{ tests: [good], synthetic: { layers: 0 } }, /^synthetic\.layers: /],
    [{ sweeps: [{ ...sweep, contexts: [] }] }, /^sweeps\[0\]\.contexts: wanted at least one/],
    [{ sweeps: [{ ...sweep, contexts: [8, 8] }] }, /at least 9 tokens, after 8 and 0 generated, found 8/],
    [{ sweeps: [{ ...sweep, contexts: ['8'] }] }, /^sweeps\[0\]\.contexts: /],
    [{ prompts: [{ ...prompt, raw: undefined }] }, /^prompts\[0\]\.raw: wanted true or false/],
    [{ prompts: [{ ...prompt, prompt: [] }] }, /^prompts\[0\]\.prompt: wanted a text or messages/],
    [{ prompts: [prompt], mtp: 'auto' }, /^mtp: wanted an array, found "auto"/],
    [{ prompts: [prompt], mtp: [true] }, /^mtp\[0\]: wanted false, 'auto'/],
    [{ prompts: [prompt], synthetic: true }, /^prompts: made-up weights have no tokenizer/],
  ] as const)
    await refused(benchmark(tiny, options as never), pattern);
  for (const [options, pattern] of [
    [5, /^benchmarkOps: wanted an object, found 5/],
    [{ rows: 5 }, /^rows: wanted an array, found 5/],
    [{ rows: [] }, /^rows: wanted at least one/],
    [{ rows: [0] }, /^rows\[0\]: wanted an integer from 1 to 4096, found 0/],
    [{ ops: ['x'] }, /^ops\[0\]: wanted 'embed' or/],
    [{ ops: [undefined] }, /^ops\[0\]: .* found undefined/],
    [{ depth: -1 }, /^depth: /],
    [{ leastMs: 'x' }, /^leastMs: wanted a number/],
    [{ elements: ['f64'] }, /^elements\[0\]: wanted 'f32' or 'f16'/],
    [{ variants: 'plain' }, /^variants: wanted an array/],
    [{ weights: 'q3' }, /^weights: wanted 'auto' or 'bf16'/],
    [{ expertSlots: 4 }, /^benchmarkOps: there is no option 'expertSlots'/],
    [{ onOp: 1 }, /^onOp: wanted a function/],
  ] as const)
    await refused(benchmarkOps(tiny, options as never), pattern);
  await refused(readSuite(5 as never), /^suite: wanted a file, or one of chat, code/);
  await refused(readSuite(undefined as never), /^suite: .* found undefined/);
});

test('bench compare: ratio, interval, what changed', async (t) => {
  const folder = temporaryFolder(t);
  const [before, after] = ['before.jsonl', 'after.json'].map((name) => join(folder, name)) as [string, string];
  const result = (test: string, rates: number[], more: object = {}) => ({
    test,
    model_size: 1,
    model_n_params: 1,
    backend: 'cpu',
    ids_hash: 'a',
    avg_ts: rates.reduce((sum, rate) => sum + rate, 0) / rates.length,
    samples_ts: rates,
    ...more,
  });
  const old = [result('tg8', [10, 10.2, 9.8]), result('pp8', [100, 140, 60]), result('pp9', [1])];
  const changed = { ids_hash: 'b', n_threads: 2, logits_hash: 'd', copy_gb_per_s: 5.5 };
  Object.assign(old[1]!, { logits_hash: 'c', copy_gb_per_s: 8.25 });
  writeFileSync(before, old.map((one) => `${JSON.stringify(one)}\n`).join(''));
  writeFileSync(
    after,
    JSON.stringify([result('pp8', [110, 150, 70], changed), result('tg8', [15, 15.3, 14.7]), result('tg9', [1])]),
  );
  const json = await kexa(['bench', 'compare', before, after, '--json']);
  t.equal(json.code, 0);
  const { comparisons, onlyBefore, onlyAfter } = JSON.parse(json.stdout);
  t.deepEqual([onlyBefore, onlyAfter], [['pp9'], ['tg9']]);
  const [tg, pp] = comparisons;
  t.equal(tg.ratio, 1.5);
  // By hand: deviations of ln are 0.0200 on both sides, 4 degrees of freedom, 2.776 * 0.0200 * sqrt(2 / 3) = 0.0454.
  t.ok(Math.abs(Math.log(tg.interval[1] / 1.5) - 0.0454) < 2e-3, String(tg.interval));
  t.ok(Math.abs(Math.log(tg.interval[0] / 1.5) + 0.0454) < 2e-3);
  t.deepEqual([tg.isClear, tg.sameTokens, tg.changed], [true, true, []]);
  t.deepEqual([pp.isClear, pp.sameTokens, pp.sameLogits], [false, false, false], 'noise is no difference');
  t.equal(tg.sameLogits, null, 'older recordings have none');
  t.deepEqual(pp.changed, [
    { field: 'n_threads', after: 2 },
    { field: 'copy_gb_per_s', before: 8.25, after: 5.5 },
  ]);
  const text = await kexa(['bench', 'compare', before, after]);
  t.match(text.stdout, /^test +before +after +ratio/);
  t.match(text.stdout, /\ntg8 +10\.0 +15\.0 +1\.500 .* yes +yes\n/);
  t.match(
    text.stdout,
    /\nn_threads: undefined before, 2 after\ncopy_gb_per_s: 8.25 before, 5.50 after\nonly before: pp9\nonly after: tg9\n$/,
  );

  writeFileSync(before, '{"test": 1}');
  for (const [args, code, pattern] of [
    [[before, after], 1, /before\.jsonl: wanted what kexa bench .* found other JSON/],
    [[after, join(folder, 'none')], 1, /none: no such file/],
    [[after, tiny], 1, /EISDIR/],
    [
      [after, join(root, 'package.json')],
      1,
      /package\.json: wanted what kexa bench .* an array of results; found other JSON/,
    ],
    [[after], 2, /missing required argument 'after'/],
  ] as const) {
    const run = await kexa(['bench', 'compare', ...args]);
    t.equal(run.code, code);
    t.match(run.stderr, pattern);
  }
});

/** `kexa bench --against`: its figures from times and tokens, and its failures. The peer here is a made-up one. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'tape';
import type * as Against from '../../lib/bench/against/against.js';
import { agreement, resultOf } from '../../lib/bench/against/against.js';
import { findPeer } from '../../lib/bench/against/peer.js';
import { KexaError } from '../../lib/index.js';
import { kexa, root, temporaryFolder, tiny } from '../support/cli.js';

test('against: rates, ratio and spread of times', (t) => {
  const result = resultOf('pp100', 2, 100, { kexa: [500, 500, 500], peer: [1000, 800, 1250] });
  t.deepEqual(result.samples_ts, { kexa: [200, 200, 200], peer: [100, 125, 80] });
  t.ok(Math.abs(result.ratio - 2) < 1e-12, 'of geometric means: the cube root of 100 * 125 * 80 is 100');
  t.deepEqual(result.spread, [1.6, 2.5]);
  // By hand: the deviation of ln is 0.22314, 2 degrees of freedom, 4.303 * 0.22314 / sqrt(3) = 0.5543.
  t.ok(Math.abs(Math.log(result.interval![0] / 2) + 0.5543) < 1e-3, String(result.interval));
  t.equal(resultOf('tg8', 1, 8, { kexa: [1], peer: [1] }).interval, null, 'one run has no interval');
  t.end();
});

test('against: where answers part', (t) => {
  const mine = (ids: number[], margins: number[]) => ({ ids, margins });
  t.deepEqual(agreement(mine([1, 2, 3], [5, 5, 5]), [1, 2, 3]), {
    compared: 3,
    same: 3,
    margin_at_difference: null,
    first_small_margin: null,
    agrees: true,
  });
  const parted = agreement(mine([1, 2, 3, 4], [5, 0.1, 5, 2]), [1, 2, 3, 9]);
  t.deepEqual([parted.same, parted.margin_at_difference, parted.first_small_margin, parted.agrees], [3, 2, 1, true]);
  t.equal(agreement(mine([1, 2], [5, 5]), [1, 3]).agrees, false, 'a clear lead that the peer does not see');
  t.equal(agreement(mine([1, 2, 3], [5, 5, 0.1]), [1, 3, 4]).agrees, false, 'a small margin after the difference');
  t.end();
});

test('against: a peer that is not installed is one error that names the command', (t) => {
  const folder = temporaryFolder(t);
  const fails = (pattern: RegExp) => {
    try {
      findPeer('node-llama-cpp', folder);
      t.fail('found');
    } catch (error) {
      t.ok(error instanceof KexaError && error.code === 'KEXA_NOT_FOUND');
      t.match((error as Error).message, pattern);
    }
  };
  fails(/package\.json: is not there: comparing engines takes a checkout/);
  writeFileSync(join(folder, 'package.json'), '{ "dependencies": { "node-llama-cpp": "1.2.3" } }');
  fails(
    /^node-llama-cpp 1\.2\.3 is not installed in .*\n {2}npm install --prefix .* --ignore-scripts --omit=optional @node-llama-cpp\/\S+@1\.2\.3$/,
  );
  // The library of another platform is not enough.
  mkdirSync(join(folder, 'node_modules/node-llama-cpp'), { recursive: true });
  writeFileSync(join(folder, 'node_modules/node-llama-cpp/package.json'), '{}');
  fails(/is not installed/);
  t.end();
});

test('against: wrong usage', async (t) => {
  for (const [args, code, pattern] of [
    [['--against', 'vllm'], 2, /Allowed choices are node-llama-cpp/],
    [
      ['--against', 'node-llama-cpp', '--pg', '5,5'],
      2,
      /--against takes -p, -n, -r, -t, -b, --parallel, --activations and -o, not pg/,
    ],
    [['--against', 'node-llama-cpp', '--parallel', '2,4'], 2, /--parallel: with --against one number/],
    [
      ['--against', 'node-llama-cpp', '--parallel', '2', '--arrival', 'poisson:2'],
      2,
      /--against takes .* and -o, not arrival/,
    ],
    [['--against', 'node-llama-cpp', '-o', 'csv'], 2, /the output is md or json/],
    [['--against', 'node-llama-cpp', '-p', '0', '-n', '0'], 2, /no test/],
    [['-t', '1,2'], 2, /several numbers of threads are for --against/],
    [['-t', '1,0'], 2, /It takes an integer from 1 to 1024, or several with commas/],
  ] as const) {
    const run = await kexa(['bench', '-m', tiny, ...args]);
    t.equal(run.code, code, args.join(' '));
    t.match(run.stderr, pattern);
  }
});

test('against: a whole comparison, with a peer that answers 1, 2, 3', async (t) => {
  const folder = temporaryFolder(t);
  const [model, entry] = [join(folder, 'tiny.gguf'), join(folder, 'peer.mjs')];
  t.equal((await kexa(['quantize', tiny, model, '--recipe', 'q8'])).code, 0);
  writeFileSync(
    entry,
    `export async function getLlama() {
      async function* evaluate() { for (let id = 1; ; id++) yield id; }
      return { loadModel: async ({ modelPath }) => {
        if (!modelPath.endsWith('tiny.gguf')) throw new Error('no such model');
        return { createContext: async ({ sequences }) => {
          let left = sequences;
          return { getSequence: () => {
            if (left-- === 0) throw new Error('no sequence is left');
            let isBusy = false;
            return { async clearHistory() {}, async *evaluate(prompt) {
              if (isBusy) throw new Error('a sequence that is busy');
              isBusy = true;
              try { yield* evaluate(prompt); } finally { isBusy = false; }
            } };
          } };
        } };
      } };
    }`,
  );
  // Uses the built files, because engines are started as programs.
  const { runAgainst } = (await import(
    pathToFileURL(join(root, 'dist/bench/against/against.js')).href
  )) as typeof Against;
  const peer = { name: 'node-llama-cpp' as const, version: '0', entry: pathToFileURL(entry).href };
  const options = { peer, prompts: [8], generated: [4], threads: [1], repetitions: 2 };
  const report = await runAgainst(model, options);
  t.deepEqual(
    report.tests.map(({ test, threads, samples_ts }) => [
      test,
      threads,
      samples_ts.kexa.length,
      samples_ts.peer.length,
    ]),
    [
      ['pp8', 1, 2, 2],
      ['tg4', 1, 2, 2],
    ],
  );
  const warm = report.starts.filter(({ isCold }) => !isCold);
  t.deepEqual(
    warm.map(({ engine }) => engine),
    ['kexa', 'node-llama-cpp'],
  );
  for (const start of warm)
    t.ok(
      start.first_token_ms > 0 && start.peak_bytes_after_runs! >= start.peak_bytes,
      `${start.engine}: memory and time`,
    );
  t.equal(report.starts.length, report.no_cold_start === null ? 4 : 2, 'cold starts, or why there are none');
  t.equal(report.text.compared, 64);
  t.ok(report.text.same < 64, 'the text of this peer is another');

  const together = await runAgainst(model, { ...options, parallel: 3, repetitions: 1 });
  t.deepEqual(
    together.tests.map(({ test, samples_ts }) => [test, samples_ts.kexa.length, samples_ts.peer.length]),
    [
      ['pp8 x3', 1, 1],
      ['tg4 x3', 1, 1],
    ],
  );
  t.deepEqual([together.text.compared, together.text.same], [64, report.text.same], 'the text is that of one sequence');

  for (const [path, pattern] of [
    [tiny, /wanted a GGUF file/],
    [join(folder, 'none.gguf'), /none\.gguf/],
  ] as const)
    await runAgainst(path, options).then(
      () => t.fail(path),
      (error: Error) => t.match(error.message, pattern),
    );
  writeFileSync(entry, 'export async function getLlama() { throw new Error("no llama here"); }');
  await runAgainst(model, options).then(
    () => t.fail('a peer that fails'),
    (error: Error) => t.equal(error.message, 'node-llama-cpp: no llama here'),
  );
});

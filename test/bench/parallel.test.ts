/** `kexa bench --parallel`: streams of requests at once. */
import test from 'tape';
import {
  benchmarkParallel,
  type ParallelOptions,
  type ParallelResult,
  poissonArrivals,
} from '../../lib/bench/parallel.js';
import { percentile } from '../../lib/bench/statistics.js';
import { arrivalRate } from '../../lib/cli/bench-lists.js';
import { parallelText } from '../../lib/cli/parallel-output.js';
import { seededRandom } from '../../lib/random.js';
import { kexa, kexaRuns, tiny } from '../support/cli.js';

const options: ParallelOptions = {
  ...{ streams: [1, 3], prompt: 20, generated: 8, mtp: false, repetitions: 2, arrivalRate: null, seed: 1 },
  ...{ warmUp: false, synthetic: null, load: { device: 'cpu', threads: 1 } },
};

test('bench --parallel: percentiles by the nearest rank', (t) => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  t.deepEqual([percentile(hundred, 0.5), percentile(hundred, 0.99), percentile(hundred, 1)], [50, 99, 100]);
  t.deepEqual([percentile([7], 0.5), percentile([3, 1, 2], 0.5), percentile([1, 2], 0.99)], [7, 2, 2]);
  t.end();
});

test('bench --parallel: arrivals are a Poisson process that the seed decides', (t) => {
  const arrivals = poissonArrivals(20_000, 4, seededRandom(5));
  t.deepEqual(arrivals, poissonArrivals(20_000, 4, seededRandom(5)));
  t.notDeepEqual(arrivals.slice(0, 9), poissonArrivals(9, 4, seededRandom(6)));
  t.equal(arrivals[0], 0, 'the first comes at once');
  const gaps = arrivals.slice(1).map((time, i) => time - arrivals[i]!);
  const mean = arrivals.at(-1)! / gaps.length;
  // An exponential distribution has the deviation of its mean. The standard error of both is below 1.5 %.
  const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
  t.ok(Math.abs(mean / 250 - 1) < 0.05, `4 a second: ${mean} ms apart`);
  t.ok(Math.abs(deviation / mean - 1) < 0.06, `deviation ${deviation}`);
  t.deepEqual([arrivalRate('poisson:2'), arrivalRate('poisson:0.25')], [2, 0.25]);
  for (const wrong of ['2', 'poisson:0', 'poisson:', 'poisson:-1', 'uniform:2', 'poisson:2000000'])
    t.throws(() => arrivalRate(wrong), /poisson and a rate/, wrong);
  t.end();
});

test('bench --parallel: figures of streams that follow one another', async (t) => {
  const told: string[] = [];
  const onRun: ParallelOptions['onRun'] = ({ done, total, test: name }) => told.push(`${done}/${total} ${name}`);
  const results = await benchmarkParallel(tiny, { ...options, warmUp: true, onRun });
  const [one, three] = ['pg20,8 x1', 'pg20,8 x3'];
  t.deepEqual(told, [`1/5 ${three}`, `2/5 ${one}`, `3/5 ${three}`, `4/5 ${one}`, `5/5 ${three}`], 'tests take turns');
  t.deepEqual(
    results.map(({ test: name, n_streams, n_requests, samples_ts }) => [
      name,
      n_streams,
      n_requests,
      samples_ts.length,
    ]),
    [
      [one, 1, 4, 2],
      [three, 3, 12, 2],
    ],
    'two requests a stream in each run',
  );
  for (const result of results) {
    const { gap_ms_p50: gap, gap_ms_p99: longest, stream_ts: rate, n_streams: streams, avg_ts: total } = result;
    t.ok(gap! > 0 && longest! >= gap!, `${result.test}: gaps`);
    t.ok(result.first_token_ms_p50 > 0 && result.first_token_ms_p99 >= result.first_token_ms_p50, 'first tokens');
    t.ok(Math.max(...result.samples_ts) > 0 && total > 0 && rate! > 0);
    // A stream decodes faster than it answers, as its prompts take time too.
    if (streams === 1) t.ok(rate! > total, `${rate} tokens a second, ${total} with prompts`);
    t.deepEqual([result.arrival, result.arrival_rate, result.n_prompt, result.n_gen], ['closed', null, 20, 8]);
  }
});

test('bench --parallel: requests come in at a rate, and one token has no gap', async (t) => {
  const coming = { ...options, streams: [2], repetitions: 1, arrivalRate: 20, seed: 3 };
  const [result] = await benchmarkParallel(tiny, coming);
  t.deepEqual([result!.arrival, result!.arrival_rate, result!.seed, result!.n_requests], ['poisson', 20, 3, 4]);
  const last = poissonArrivals(4, 20, seededRandom(3)).at(-1)!;
  // 4 answers of 8 tokens, over at least the time until the last came in.
  t.ok(result!.avg_ts < 32 / (last / 1e3), `${result!.avg_ts} tokens a second`);
  const [short] = await benchmarkParallel(tiny, { ...options, streams: [2], generated: 1, repetitions: 1 });
  t.deepEqual([short!.stream_ts, short!.gap_ms_p50, short!.gap_ms_p99], [null, null, null]);
  t.ok(parallelText([short!], 'md').includes('| pg20,1 x2 |'));
});

test('bench --parallel: an aborted run gives what is complete', async (t) => {
  const abort = new AbortController();
  const results = await benchmarkParallel(tiny, {
    ...options,
    signal: abort.signal,
    onRun: ({ done }) => done === 1 && abort.abort(),
  });
  t.deepEqual(
    results.map(({ n_streams, n_requests }) => [n_streams, n_requests]),
    [[1, 2]],
  );
});

test('kexa bench --parallel: every format, and wrong usage', async (t) => {
  const args = ['bench', '-m', tiny, '--parallel', '1,2', '-p', '9', '-n', '4', '-r', '1', '-t', '1', '--no-warmup'];
  const json = await kexa([...args, '--device', 'cpu', '--mtp', '2', '-o', 'json']);
  t.deepEqual([json.code, json.stderr], [0, '']);
  const results = JSON.parse(json.stdout) as ParallelResult[];
  t.deepEqual(
    results.map(({ test: name, backend, n_threads, mtp }) => [name, backend, n_threads, mtp]),
    [
      ['pg9,4 mtp 2 x1', 'cpu', 1, 2],
      ['pg9,4 mtp 2 x2', 'cpu', 1, 2],
    ],
  );
  t.match(parallelText(results, 'md'), /^.*tiny, cpu; each stream makes its next request at once\n\n\| test /);
  t.match(parallelText([{ ...results[0]!, arrival_rate: 2 }], 'md'), /; 2 requests a second come in\n/);
  t.equal(parallelText(results, 'csv').split('\n')[0], Object.keys(results[0]!).join(','));
  t.equal(parallelText(results, 'jsonl').trim().split('\n').length, 2);
  t.equal(parallelText([], 'md'), '');

  const cases: [string[], number, RegExp][] = [
    [['--parallel', '0'], 2, /sessions from 1 to 64/],
    [['--arrival', 'poisson:2'], 2, /--arrival: for --parallel only/],
    [['--seed', '2'], 2, /--seed: for --parallel only/],
    [['--parallel', '2', '--arrival', '2'], 2, /It takes poisson and a rate of requests a second/],
    [['--parallel', '2', '-d', '5'], 2, /--parallel takes -p, -n, --mtp, .* not nDepth/],
    [['--parallel', '2', '-p', '5,6'], 2, /-p: with --parallel one number from 1 on/],
    [['--parallel', '2', '-n', '0'], 2, /-n: with --parallel one number from 1 on/],
    [['--parallel', '2', '--mtp', 'off,2'], 2, /--mtp: with --parallel one setting/],
    [
      ['--parallel', '64', '-p', '4096'],
      1,
      /pg4096,64 x64: wanted a context of 4224 tokens, found a model of at most 4096/,
    ],
  ];
  const runs = await kexaRuns(cases.map(([words]) => ({ args: ['bench', '-m', tiny, ...words] })));
  for (const [i, [words, code, message]] of cases.entries()) {
    t.deepEqual([runs[i]!.code, runs[i]!.stdout], [code, ''], words.join(' '));
    t.match(runs[i]!.stderr, message);
  }
});

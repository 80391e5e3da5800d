/**
 * The parts of `kexa bench` besides single tests: sweeps, suites, sessions at once, its schema, energy, its end by
 * Ctrl-C.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { openEnergyMeter, openRapl } from '../../lib/bench/energy.js';
import { benchText } from '../../lib/cli/bench-output.js';
import { type BenchResult, benchmark, KexaError, loadModel, readSuite } from '../../lib/index.js';
import { ended, kexa, noTerminal, root, start, Terminal, temporaryFolder, tiny } from '../support/cli.js';
import { type Schema, violations } from '../support/json-schema.js';
import { modelFolder } from '../support/models.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

const schema = JSON.parse(readFileSync(join(root, 'bench/schema.json'), 'utf8')) as Schema;
const quick = { repetitions: 1, warmUp: false, rates: false } as const;

test('bench: a sweep reads the newest part only, and fits its schema', async (t) => {
  const args = ['--ctx-start', '32', '--ctx-max', '150', '--step', '*2', '-n', '4', '-t', '1'];
  const run = await kexa(['bench', '-m', tiny, ...args, '-o', 'json']);
  t.equal(run.code, 0, run.stderr);
  const results = JSON.parse(run.stdout) as BenchResult[];
  t.deepEqual(
    results.map((result) => result.test),
    ['pp32', 'tg4 @ d32', 'pp28 @ d36', 'tg4 @ d64', 'pp60 @ d68', 'tg4 @ d128', 'pp18 @ d132', 'tg4 @ d150'],
  );
  const { config, ...model } = await loadModel(tiny).then(async (loaded) => {
    await loaded.close();
    return { config: loaded.config };
  });
  t.deepEqual(model, {});
  for (const { test: name, samples_ts, samples_ns, n_prompt, n_gen, n_depth, kv_bytes } of results) {
    const tokens = (samples_ts[0]! * samples_ns[0]!) / 1e9;
    t.ok(Math.abs(tokens - n_prompt - n_gen) < 0.01, `${name}: ${tokens.toFixed(2)} tokens timed`);
    const length = n_depth + n_prompt + n_gen;
    const rows = config.layers.reduce((sum, { window }) => sum + (window === 0 ? length : Math.min(window, length)), 0);
    t.equal(kv_bytes, rows * 2 * config.kvHeads * config.headDim * 4);
  }
  t.deepEqual(violations(schema, results), []);
  t.ok(violations(schema, [{ ...results[0], avg_ts: 'fast' }]).length > 0, 'the schema can be broken');
  t.ok(violations(schema, [{ ...results[0], extra: 1 }]).length > 0);
  try {
    await benchmark(tiny, { sweeps: [{ contexts: [8, 12], generated: 4, mtp: false }], ...quick });
    t.fail('a step without room');
  } catch (error) {
    t.match((error as KexaError).message, /at least 13 tokens, after 8 and 4 generated, found 12/);
  }
});

test('bench: suites answer real prompts, with and without drafts', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'mine.jsonl');
  writeFileSync(join(folder, 'page.txt'), 'Choose Format - Page.');
  writeFileSync(
    file,
    '{"name":"a","document":"page.txt","prompt":"What is to be chosen?","maxTokens":6}\n\n{"raw":true,"prompt":"표를 ","maxTokens":5}\n',
  );
  const prompts = await readSuite(file);
  t.equal(prompts[0]!.prompt, 'Choose Format - Page.\nWhat is to be chosen?');
  const results = await benchmark(tiny, { prompts, mtp: [false, 2], repetitions: 2, rates: false });
  t.deepEqual(
    results.map((result) => [result.test, result.suite, result.n_gen]),
    [
      ['mine/a', 'mine', 6],
      ['mine/a mtp 2', 'mine', 6],
      ['mine/3', 'mine', 5],
      ['mine/3 mtp 2', 'mine', 5],
    ],
  );
  for (const [i, result] of results.entries()) {
    const plain = results[i & ~1]!;
    t.ok(result.first_token_ms! > 0);
    t.equal(result.ids_hash, plain.ids_hash, 'the answer is the same');
    t.equal(result.logits_hash, plain.logits_hash);
    t.equal(result.speedup, i % 2 === 0 ? null : result.avg_ts / plain.avg_ts);
    t.equal(result.acceptance_by_position.length > 0, i % 2 === 1);
  }
  t.deepEqual(violations(schema, results), []);
  for (const name of ['chat', 'code', 'document', 'korean']) t.ok((await readSuite(name)).length >= 3, name);

  const bad = async (line: string, pattern: RegExp) => {
    writeFileSync(file, line);
    try {
      await readSuite(file);
      t.fail(line);
    } catch (error) {
      t.ok(error instanceof KexaError && error.code === 'KEXA_BAD_FILE', line);
      t.match((error as Error).message, pattern);
    }
  };
  await bad('', /wanted a prompt a line, found none/);
  await bad('{', /line 1: wanted JSON/);
  await bad('{"prompt":"a","tokens":3}', /line 1: tokens: not a field/);
  await bad('{"prompt":""}', /prompt: wanted a text/);
  await bad('{"prompt":"a","maxTokens":0}', /maxTokens: wanted a positive integer/);
  await bad('{"messages":[],"prompt":"a"}', /messages: wanted a conversation/);
});

test('bench: sessions at once share the device', async (t) => {
  const tests = [1, 3].map((sessions) => ({ prompt: 4, generated: 6, depth: 20, mtp: false as const, sessions }));
  const [one, three] = await benchmark(tiny, { tests, ...quick });
  t.deepEqual([one!.test, three!.test], ['pg4,6 @ d20 x1', 'pg4,6 @ d20 x3']);
  t.ok(one!.session_ts! >= one!.avg_ts, 'a session alone is as fast as all');
  // And hardly faster. A busy machine may come between the two readings of the clock, but not every time.
  let share = one!.session_ts! / one!.avg_ts;
  for (let tries = 0; tries < 5 && share >= 1.1; tries++) {
    const [again] = await benchmark(tiny, { tests: tests.slice(0, 1), ...quick });
    share = Math.min(share, again!.session_ts! / again!.avg_ts);
  }
  t.ok(share < 1.1, `${share.toFixed(3)} times as fast`);
  for (const [result, sessions] of [
    [one!, 1],
    [three!, 3],
  ] as const) {
    const tokens = (result.samples_ts[0]! * result.samples_ns[0]!) / 1e9;
    t.ok(Math.abs(tokens - sessions * 10) < 0.01, `${tokens.toFixed(2)} tokens timed`);
    // None ends after the last of them.
    t.ok(result.session_ts! * sessions >= result.avg_ts * 0.999);
    t.equal(result.kv_bytes, one!.kv_bytes * sessions);
  }
  t.deepEqual(violations(schema, [one, three]), []);
});

test('bench: what a GPU did for a token, and the logits that the CPU has', async (t) => {
  useSoftwareGpu();
  const edge = modelFolder('edge');
  const tests = [{ prompt: 0, generated: 2, depth: 0, mtp: false as const }];
  const [gpu] = await benchmark(edge, { device: 'swiftshader', tests, repetitions: 1 });
  const [cpu] = await benchmark(edge, { tests, repetitions: 1, rates: false });
  t.ok(gpu!.copy_gb_per_s! > 0 && gpu!.f32_gflop_per_s! > 0);
  const sum = gpu!.ops!.reduce((total, { dispatches }) => total + dispatches, 0);
  t.equal(sum, gpu!.dispatches_per_token, 'every kernel is named');
  t.ok(gpu!.ops!.every(({ ns }) => ns > 0) && gpu!.encode_ms_per_token! > 0);
  t.equal(gpu!.experts_per_step, cpu!.experts_per_step);
  t.equal(gpu!.ids_hash, cpu!.ids_hash);
  t.equal(gpu!.logits_best!.id, cpu!.logits_best!.id);
  t.ok(Math.abs(gpu!.logits_best!.logit / cpu!.logits_best!.logit - 1) < 1e-5);
  t.deepEqual([cpu!.ops, cpu!.dispatches_per_token, cpu!.encode_ms_per_token], [null, null, null]);
  t.deepEqual(violations(schema, [gpu, cpu]), []);
});

test('bench: whatever is complete is a whole file', (t) => {
  const headerless: Record<string, (text: string) => unknown> = {
    json: (text) => t.deepEqual(JSON.parse(text), []),
    jsonl: (text) => t.equal(text, ''),
    csv: (text) => t.equal(text, ''),
    md: (text) => t.match(text, /^\| model \| .*\n\| -+ \| .*\n$/),
  };
  for (const [format, check] of Object.entries(headerless)) check(benchText([], format as 'json'));
  t.end();
});

test('bench: Ctrl-C while loading', { skip: process.platform !== 'linux' && 'needs /proc' }, async (t) => {
  const runs = await Promise.all(
    ['json', 'md'].map(async (format) => {
      const child = start(['bench', '-m', tiny, '-p', '8', '-n', '4000', '-o', format]);
      const over = ended(child);
      // The addon is loaded after the command has begun to listen.
      while (!readFileSync(`/proc/${child.pid}/maps`, 'utf8').includes('kexa.node'))
        await new Promise((resolve) => setTimeout(resolve, 5));
      child.kill('SIGINT');
      return await over;
    }),
  );
  for (const run of runs) {
    t.equal(run.code, 130);
    t.match(run.stderr, /^interrupted: these are the runs that were complete\n$/);
  }
  t.deepEqual(JSON.parse(runs[0]!.stdout), []);
  t.match(runs[1]!.stdout, /^\| model/);
});

test('bench: Ctrl-C keeps what is complete', noTerminal, async (t) => {
  const terminal = new Terminal(['bench', '-m', tiny, '-p', '8', '-n', '4000', '--no-warmup', '-o', 'jsonl']);
  await terminal.shows('runs, pp8');
  terminal.type('\x03');
  t.equal(await terminal.ends(), 130);
  const lines = terminal.output.split(/[\r\n]+/).filter((line) => line.includes('{"test"'));
  const results = lines.map((line) => JSON.parse(line.slice(line.indexOf('{"test"'))) as BenchResult);
  t.deepEqual(
    results.map((result) => [result.test, result.samples_ns.length]),
    [['pp8', 1]],
  );
  t.deepEqual(violations(schema, results), []);
  t.match(terminal.output, /interrupted: these are the runs that were complete/);
});

test('energy: RAPL counts on past its end, NVML adds up power, and nothing is made up', async (t) => {
  const folder = temporaryFolder(t);
  t.equal(openRapl(join(folder, 'none')), null);
  const write = (name: string, energy: number, kind = `package-${name.at(-1)}`) => {
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, 'name'), `${kind}\n`);
    writeFileSync(join(folder, name, 'max_energy_range_uj'), '10000000\n');
    writeFileSync(join(folder, name, 'energy_uj'), `${energy}\n`);
  };
  write('intel-rapl:0', 9_000_000);
  write('intel-rapl:1', 1_000_000);
  write('intel-rapl:0:0', 5, 'core');
  write('intel-rapl:2', 5, 'psys');
  const rapl = openRapl(folder)!;
  t.equal(rapl.joules(), 0);
  write('intel-rapl:0', 500_000);
  write('intel-rapl:1', 1_250_000);
  write('intel-rapl:2', 90_000);
  t.equal(rapl.joules(), 1.75, '1.5 of the first, past its end, 0.25 of the second');

  const gpu = {
    name: 'NVIDIA A100',
    kind: 'gpu',
    description: 'NVIDIA A100',
    isSoftware: false,
    usable: true,
  } as const;
  const path = process.env.PATH;
  t.teardown(() => {
    process.env.PATH = path;
  });
  process.env.PATH = `${folder}:${path}`;
  const program = join(folder, 'nvidia-smi');
  const pretend = (gpus: string) => {
    writeFileSync(
      program,
      `#!/bin/sh\ncase "$1" in *index*) printf '${gpus}';; *) while sleep 0.02; do echo 200.0; done;; esac\n`,
    );
    chmodSync(program, 0o755);
  };
  pretend('0, NVIDIA A100\\n1, NVIDIA A100\\n');
  t.equal(openEnergyMeter(gpu), null, 'nobody can tell which of two it is');
  pretend('0, NVIDIA H100\\n1, NVIDIA A100\\n');
  const meter = openEnergyMeter(gpu)!;
  t.match(meter.source, /GPU 1/);
  t.equal(meter.joules(), null, 'before a first sample');
  while (meter.joules() === null) await new Promise((resolve) => setTimeout(resolve, 10));
  // Each reading of the meter lies between two of the clock, however busy the machine is.
  const times = [performance.now()];
  const before = meter.joules()!;
  times.push(performance.now());
  await new Promise((resolve) => setTimeout(resolve, 200));
  times.push(performance.now());
  const joules = meter.joules()! - before;
  times.push(performance.now());
  meter.close();
  const [least, most] = [times[2]! - times[1]!, times[3]! - times[0]!].map((ms) => (200 * ms) / 1000);
  t.ok(joules > least! * 0.999 && joules < most! * 1.001, `${joules.toFixed(2)} J of ${least} to ${most}`);
  t.equal(openEnergyMeter({ ...gpu, name: 'AMD', description: 'AMD' }), null);
});

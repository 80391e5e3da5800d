/**
 * The CPU device's inner loops, which are compiled once for each instruction set, and the cores its threads stay on.
 */
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import test from 'tape';
import type { QuantizedType } from '../../lib/description.js';
import { blockTypes, type InlineType } from '../../lib/files/gguf/gguf-types.js';
import { randomBlocks } from '../support/block-formats.js';
import { genesis, kexa, tiny } from '../support/cli.js';
import { isSame, randomNumbers } from '../support/compare.js';

const { panel, dequantize } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node') as {
  panel(set: string, type: string, weights: Uint8Array, columns: number, x: Float32Array, rows: number): Float32Array;
  dequantize(type: string, blocks: Uint8Array, elements: number): Float32Array;
};
const { instructionSets } = createRequire(import.meta.url)('../../build/Release/kexa.node') as {
  instructionSets(): { used: string; available: string[] };
};
const outputs = 6;

function randomWeights(type: InlineType, columns: number): Uint8Array {
  const next = randomNumbers(5);
  const { elements, bytes } = blockTypes[type];
  if (isQuantized(type)) return randomBlocks(type, (outputs * columns) / elements, next);
  const weights = Uint8Array.from({ length: outputs * columns * bytes }, () => Math.floor(next() * 256));
  // The numbers are about 1, of either sign.
  for (let at = bytes - 1; at < weights.length; at += bytes)
    weights[at] = 0x3c + Math.floor(next() * 4) + (next() < 0.5 ? 128 : 0);
  return weights;
}

const isQuantized = (type: InlineType): type is QuantizedType => blockTypes[type].elements > 1;

test('every instruction set multiplies alike, whatever the weights and however many rows', (t) => {
  const { used, available } = instructionSets();
  t.equal(available[0], 'plain');
  t.ok(available.includes(used), `${used}, of ${available.join(', ')}`);
  const fused = available.slice(1);
  const most = 35;
  const fewer = [...Array.from({ length: 20 }, (_, i) => i + 1), 32, 33];
  for (const type of Object.keys(blockTypes) as InlineType[]) {
    const { elements } = blockTypes[type];
    // One block and several, past the columns that are converted at once; where elements stand alone, with some left
    // over after the last sixteen.
    for (const columns of elements === 1 ? [5, 48, 1047] : [elements, 1280]) {
      const about = `${type}, ${columns} columns`;
      const weights = randomWeights(type, columns);
      const next = randomNumbers(6);
      const x = Float32Array.from({ length: most * columns }, () => next() - 0.5);
      const plain = panel('plain', type, weights, columns, x, most);
      const largest = Math.max(...plain.map(Math.abs));
      t.ok(largest > 0 && Number.isFinite(largest), `${about}: numbers`);
      for (const set of fused) {
        const all = panel(set, type, weights, columns, x, most);
        const off = Math.max(...all.map((value, i) => Math.abs(value - plain[i]!))) / largest;
        t.ok(off < 1e-5, `${about}: ${set} within ${off.toExponential(1)} of plain`);
        t.ok(
          isSame(all, panel(fused[0]!, type, weights, columns, x, most)),
          `${about}: ${set} as ${fused[0]}, to the bit`,
        );
        for (const rows of fewer) {
          const some = panel(set, type, weights, columns, x.slice(0, rows * columns), rows);
          if (!isSame(some, all.slice(0, rows * outputs))) t.fail(`${about}: ${set}, ${rows} rows`);
        }
      }
    }
  }
  t.ok(dequantize('q8_0', new Uint8Array(34), 32).every((value) => value === 0));
  t.end();
});

test('KEXA_CPU forces an instruction set, and one that is not there is refused', async (t) => {
  const score = async (env: NodeJS.ProcessEnv) => await kexa(['score', '-m', tiny, '-p', genesis, '--json'], { env });
  const sums: number[] = [];
  for (const set of instructionSets().available) sums.push(JSON.parse((await score({ KEXA_CPU: set })).stdout).sum);
  for (const sum of sums) t.ok(Math.abs(sum - sums[0]!) < 1e-3, `${sum}`);
  const wrong = await score({ KEXA_CPU: 'mmx' });
  t.equal(wrong.code, 1);
  t.match(wrong.stderr, /KEXA_CPU: wanted an instruction set of this processor \(plain.*\), found mmx\n$/);
  const doctor = await kexa(['doctor', '--json'], { env: { KEXA_CPU: 'plain' } });
  t.equal(JSON.parse(doctor.stdout).native.instructionSets.used, 'plain');
});

test('threads stay on cores of their own, or move as they like', async (t) => {
  if (process.platform !== 'linux') return t.skip('only Linux tells');
  const script = `
    const { loadModel } = await import('${new URL('../../dist/index.js', import.meta.url).href}');
    const { readdirSync, readFileSync } = await import('node:fs');
    const [threads, count] = process.argv.slice(1).map(Number);
    const models = [];
    for (let i = 0; i < count; i++) {
      models.push(await loadModel('${tiny}', { device: 'cpu', threads }));
      await models[i].score(Array.from({ length: 64 }, (_, i) => i));
    }
    const allowed = readdirSync('/proc/self/task').map((id) =>
      /Cpus_allowed_list:\\s*(\\S+)/.exec(readFileSync('/proc/self/task/' + id + '/status', 'utf8'))[1]);
    console.log(JSON.stringify(allowed.filter((list) => /^\\d+$/.test(list)).sort()));
    for (const model of models) await model.close();`;
  const { execFileSync } = await import('node:child_process');
  const placed = (threads: number, env: NodeJS.ProcessEnv = {}, models = 1): string[] =>
    JSON.parse(
      execFileSync(process.execPath, ['--input-type=module', '-e', script, '--', String(threads), String(models)], {
        encoding: 'utf8',
        env: { ...process.env, ...env },
      }),
    );
  const cores = availableParallelism();
  if (cores < 2) return t.skip('one core is no choice');
  t.deepEqual(placed(1), [], 'fewer threads than cores move');
  t.deepEqual(placed(cores * 2), [], 'so do more');
  t.deepEqual(placed(cores, { KEXA_PIN: '0' }), [], 'and all, if they are told to');
  const own = placed(cores);
  t.ok(own.length === 0 || (own.length === cores && new Set(own).size === cores), `CPUs ${own.join(', ')}`);
  t.deepEqual(placed(cores, {}, 2), own, "only one model's threads, or two of them would share a core");
});

/** `kexa inspect --verdict` judges K-EXAONE by its config alone, and all plans of one case are the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { bytesText, groupedText } from '../../lib/cli/figures.js';
import { verdictText } from '../../lib/cli/verdict-text.js';
import { openModelFolder, readConfigOnly } from '../../lib/files/model-folder.js';
import {
  checkPlanOptions,
  heldAs,
  longestContext,
  MemoryPlanner,
  planMemory,
  usableBytes,
} from '../../lib/plan/memory-plan.js';
import { planned } from '../../lib/plan/planned.js';
import {
  contextBesideExperts,
  machines,
  planVerdicts,
  reachedShare,
  thisMachine,
  type Verdict,
  type VerdictWeights,
  verdictWeights,
} from '../../lib/plan/verdict.js';
import type { LoadOptions } from '../../lib/types.js';
import { kexa, root } from '../support/cli.js';
import { fullSizeConfigFolder, modelFolder } from '../support/models.js';

/** Planned once for all tests. */
const planning = readConfigOnly(fullSizeConfigFolder()).then(({ shape, config }) => {
  const verdicts = planVerdicts(shape, {});
  const verdictOf = (name: string, weights: VerdictWeights) =>
    verdicts.find(({ machine, weights: other }) => machine.name === name && other === weights)!;
  return { shape, config, verdicts, verdictOf, most: config.maxPositions };
});

/** The options of `loadModel` that a verdict is about. */
function optionsOf({ machine, weights, layers }: Verdict): {
  weights: NonNullable<LoadOptions['weights']>;
  device: 'cpu' | 'gpu' | 'gpu'[];
  layerSplit?: number[];
} {
  const held = weights === 'bf16' || weights === 'fp8' ? 'auto' : weights;
  if (machine.cards === 1) return { weights: held, device: machine.kind };
  return { weights: held, device: new Array<'gpu'>(machine.cards).fill('gpu'), layerSplit: layers };
}

test('each kind of weights on each machine: what fits is what is planned', async (t) => {
  const { config, verdicts, verdictOf, most } = await planning;
  t.equal(verdicts.length, machines.length * verdictWeights.length);
  const isWhole = (name: string, weights: VerdictWeights) => {
    const { layers, experts } = verdictOf(name, weights);
    return layers.length > 0 && experts === null;
  };
  t.ok(isWhole('1 x 80 GB', 'q2') && !isWhole('1 x 80 GB', 'q2k'), 'one card of 80 GB takes q2, not q2k');
  t.ok(isWhole('1 x 96 GB', 'q2k') && !isWhole('1 x 96 GB', 'q4'), 'one of 96 GB takes q2k, not q4');
  t.ok(isWhole('1 x 141 GB', 'q4') && !isWhole('1 x 141 GB', 'q8'), 'one of 141 GB takes q4, not q8');
  t.ok(isWhole('2 x 80 GB', 'q4') && !isWhole('2 x 80 GB', 'q8'), 'two cards take q4, not q8');
  t.ok(isWhole('4 x 80 GB', 'fp8') && !isWhole('2 x 80 GB', 'fp8'), 'four take FP8, two do not');
  t.ok(isWhole('8 x 80 GB', 'bf16') && !isWhole('4 x 80 GB', 'bf16'), 'eight take bf16, four do not');
  t.ok(isWhole('CPU, 256 GB', 'q8') && !isWhole('CPU, 128 GB', 'q4'), 'main memory');
  for (const verdict of verdicts) {
    const { machine, weights, layers, longestContext: longest, tokensPerSecond, experts, weightBytes } = verdict;
    const name = `${machine.name}, ${weights}`;
    const { f16, q8, q4 } = longest;
    if (layers.length === 0) {
      t.deepEqual([f16, q8, q4, tokensPerSecond, experts], [0, 0, 0, null, null], `${name}: does not fit`);
      const room = machine.cards * usableBytes(machine.kind, machine.bytes);
      t.ok(weightBytes > room * 0.9, `${name}: and nearly does not by its weights`);
      continue;
    }
    t.ok(f16 <= q8 && q8 <= q4 && q4 <= most, `${name}: ${f16}, ${q8}, ${q4} tokens`);
    t.equal(
      layers.reduce((sum, count) => sum + count, 0),
      config.layers.length,
      `${name}: every layer once, ${layers}`,
    );
    t.ok(layers.length === machine.cards && layers.every((count) => count >= 1), `${name}: some on each card`);
    if (weights !== 'bf16' || tokensPerSecond === null) continue;
    const bytes = 2 * config.activeParameters;
    const off = (tokensPerSecond * bytes) / (reachedShare * machine.bandwidth!) - 1;
    t.ok(Math.abs(off) < 0.06, `${name}: ${tokensPerSecond} tokens a second, of ${bytes} bytes each and their keys`);
  }
});

test('a verdict is what loading plans with the counts of layers that it tells', async (t) => {
  const { shape, config, verdicts, most } = await planning;
  const shared = verdicts.filter(({ layers, experts, weights }) => layers.length > 0 && !experts && weights !== 'fp8');
  // These are a verdict whose context is bounded by the memory, and one for each number of cards.
  const bounded = shared.filter(({ longestContext: { f16 } }) => f16 > 0 && f16 < most);
  t.ok(bounded.length > 0);
  const cases = [...bounded, ...[2, 4, 8].map((count) => shared.find(({ machine }) => machine.cards === count)!)];
  for (const verdict of cases) {
    const { machine, weights, layers, longestContext: longest } = verdict;
    const name = `${machine.name}, ${weights}`;
    const room = usableBytes(machine.kind, machine.bytes);
    const parts = (contextSize: number) => {
      const plan = planMemory(shape, { ...optionsOf(verdict), cacheType: 'f16', contextSize });
      return plan.devices ?? [{ ...plan, layers: [0, config.layers.length - 1] }];
    };
    const devices = parts(longest.f16);
    t.deepEqual(
      devices.map(({ layers: [first, last] }) => last! - first! + 1),
      layers,
      `${name}: --split takes ${layers}`,
    );
    for (const { total } of devices) t.ok(total <= room, `${name}: ${total} bytes of ${room}`);
    if (longest.f16 === most) continue;
    t.ok(
      parts(longest.f16 + 64).some(({ total }) => total > room),
      `${name}: a page more does not fit`,
    );
  }
});

test('a card that is too small holds some of the experts, as many as gpuMemory has room for', async (t) => {
  const { shape, config, verdictOf } = await planning;
  for (const name of ['1 x 24 GB', '1 x 48 GB', '1 x 80 GB'])
    for (const weights of ['q2', 'q2k', 'q4'] as const) {
      const { machine, experts, longestContext: longest } = verdictOf(name, weights);
      if (experts === null) continue;
      const gpuMemory = usableBytes('gpu', machine.bytes);
      const options = { weights, device: 'gpu', cacheType: 'f16', contextSize: contextBesideExperts } as const;
      const plan = planMemory(shape, { ...options, gpuMemory });
      t.deepEqual([plan.experts!.slots, plan.experts!.host], [experts.slots, experts.host], `${name}, ${weights}`);
      t.ok(plan.total <= gpuMemory && longest.f16 === contextBesideExperts);
      t.ok(planMemory(shape, { ...options, expertSlots: experts.slots + 1 }).total > gpuMemory, 'not one more');
    }
  t.ok(
    verdictOf('1 x 24 GB', 'q2').experts!.slots >= config.moe!.topK,
    'a card of 24 GB can copy what is chosen in q2',
  );
});

test('README, the verdict and --device-memory say the same of one card of 80 GB in q2', async (t) => {
  const { shape, verdictOf, most } = await planning;
  const { longestContext: longest } = verdictOf('1 x 80 GB', 'q2');
  t.equal(longest.f16, most, 'all of the context');
  const planner = new MemoryPlanner(shape, 'q2');
  const options = { device: 'gpu', cacheType: 'f16' } as const;
  t.equal(longestContext(planner, options, 80 * 2 ** 30), longest.f16);
  const { total } = planner.plan({ ...options, contextSize: most });
  for (const size of ['80GB', '80GiB']) {
    const flags = ['--weights', 'q2', '--cache-type', 'f16', '-c', '256K', '--device', 'gpu', '--device-memory', size];
    const { stdout } = await kexa(['inspect', fullSizeConfigFolder(), ...flags]);
    t.ok(stdout.includes(`fits into 80.0 GiB, of which 78.4 GiB are planned with`), size);
    t.ok(stdout.includes(`the longest context that does is ${groupedText(longest.f16)}`), size);
    const { memory } = JSON.parse((await kexa(['inspect', fullSizeConfigFolder(), ...flags, '--json'])).stdout) as {
      memory: { total: number; fits: boolean; longestContext: number };
    };
    t.deepEqual([memory.total, memory.fits, memory.longestContext], [total, true, longest.f16]);
  }
  for (const page of ['README.md', 'docs/cli.md'])
    t.ok(readFileSync(join(root, page), 'utf8').includes(bytesText(total)), `${page} says ${bytesText(total)}`);
  const slots = verdictOf('1 x 24 GB', 'q2').experts!;
  t.ok(readFileSync(join(root, 'README.md'), 'utf8').includes(`${slots.slots} of each layer's 128`), 'README: 24 GB');
});

test('experts that are planned as one matrix take what they take one by one', async (t) => {
  for (const name of ['tiny', 'wide', 'edge', 'two'] as const) {
    const { description } = await openModelFolder(modelFolder(name));
    for (const weights of ['auto', 'f32', 'q4', 'q2'] as const)
      for (const adapter of ['', 'gpu']) {
        const options = { contextSize: 100, weights, cacheType: 'q8' } as const;
        const one = planned(heldAs(description, weights), {
          ...checkPlanOptions(options, description.maxPositions),
          adapter,
        });
        const { weights: wanted, total } = planMemory(description, {
          ...options,
          device: adapter === '' ? 'cpu' : 'gpu',
        });
        t.deepEqual([total, wanted], [one.total, one.weights], `${name}, ${weights} on ${adapter || 'cpu'}`);
      }
  }
});

test('the table says what it rests on, and tells of this machine', async (t) => {
  const table = verdictText((await planning).verdicts);
  for (const text of ['an estimate, not a measurement', '--split takes these counts', 'CPU, 512 GB', '2000 GB/s'])
    t.ok(table.includes(text), text);
  for (const text of ["98 % of a card's memory, 95 % of main memory", 'experts of each layer, ', 'q2k', 'fp8'])
    t.ok(table.includes(text), text);
  const { stdout, code } = await kexa(['inspect', modelFolder('tiny'), '--verdict']);
  t.equal(code, 0);
  for (const text of ['an estimate, not a measurement', 'here, CPU', '1 x 24 GB']) t.ok(stdout.includes(text), text);
  const here = await thisMachine();
  t.ok(here.at(-1)!.bytes > 2 ** 28 && here.at(-1)!.kind === 'cpu');
  const json = await kexa(['inspect', modelFolder('tiny'), '--verdict', '--json']);
  t.equal(
    (JSON.parse(json.stdout) as { verdicts: unknown[] }).verdicts.length,
    (machines.length + here.length) * verdictWeights.length,
  );
});

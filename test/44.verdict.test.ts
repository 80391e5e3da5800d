/** What `kexa inspect --verdict` says of K-EXAONE, from its config alone. */
import test from 'tape';
import { readConfigOnly } from '../lib/files/model-folder.js';
import { planMemory } from '../lib/memory-plan.js';
import { machines, planVerdicts, reachedShare, usableShare, verdictRecipes } from '../lib/verdict.js';
import { kexa } from './support/cli.js';
import { fullSizeConfigFolder } from './support/models.js';

test('each recipe on each machine: layers are placed once, in order, and what fits is what is planned', async (t) => {
  const { shape, config } = await readConfigOnly(fullSizeConfigFolder());
  const verdicts = planVerdicts(shape, {});
  t.equal(verdicts.length, machines.length * verdictRecipes.length);
  const fits = (name: string, recipe: string) =>
    verdicts.find(({ machine, recipe: other }) => machine.name === name && other === recipe)!.layers.length > 0;
  t.ok(fits('1 x 80 GB', 'q2') && !fits('1 x 80 GB', 'q4'), 'one card of 80 GB takes q2, not q4');
  t.notOk(fits('1 x 24 GB', 'q2'), 'one of 24 GB takes nothing');
  t.ok(fits('2 x 80 GB', 'q4') && !fits('2 x 80 GB', 'q8'), 'two cards take q4, not q8');
  t.ok(fits('8 x 80 GB', 'bf16') && !fits('4 x 80 GB', 'bf16'), 'eight take bf16, four do not');
  t.ok(fits('CPU, 256 GB', 'q8') && !fits('CPU, 128 GB', 'q4'), 'main memory');
  for (const { machine, recipe, layers, longestContext, tokensPerSecond, weightBytes } of verdicts) {
    const name = `${machine.name}, ${recipe}`;
    const { f16, q8, q4 } = longestContext;
    if (layers.length === 0) {
      t.deepEqual([f16, q8, q4, tokensPerSecond], [0, 0, 0, null], `${name}: does not fit`);
      t.ok(
        weightBytes > machine.cards * machine.bytes * usableShare * 0.9,
        `${name}: and nearly does not by its weights`,
      );
      continue;
    }
    t.ok(f16 <= q8 && q8 <= q4 && q4 <= config.maxPositions, `${name}: ${f16}, ${q8}, ${q4} tokens`);
    const placed = layers.flatMap((card) =>
      card === null ? [] : Array.from({ length: card[1] - card[0] + 1 }, (_, i) => card[0] + i),
    );
    t.deepEqual(placed, [...config.layers.keys()], `${name}: every layer once, in order, on ${layers.length} cards`);
    if (recipe !== 'bf16') continue;
    const bytes = 2 * config.activeParameters;
    const off = (tokensPerSecond! * bytes) / (reachedShare * machine.bandwidth) - 1;
    t.ok(Math.abs(off) < 0.06, `${name}: ${tokensPerSecond} tokens a second, of ${bytes} bytes each and their keys`);
  }
  const { longestContext } = verdicts.find(({ machine, recipe }) => machine.name === 'CPU, 256 GB' && recipe === 'q8')!;
  const planned = planMemory(shape, { weights: 'q8', cacheType: 'f16', contextSize: longestContext.f16 });
  const room = 256 * 2 ** 30 * usableShare;
  t.ok(Math.abs(planned.total / room - 1) < 0.002, `${longestContext.f16} tokens: ${planned.total} bytes of ${room}`);
});

test('what is told of several cards is what the plan of devices that share the model says', async (t) => {
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  const { machine, layers, longestContext } = planVerdicts(shape, {}).find(
    (verdict) => verdict.machine.name === '2 x 80 GB' && verdict.recipe === 'q4',
  )!;
  const options = { weights: 'q4', cacheType: 'f16', contextSize: longestContext.f16 } as const;
  const layerSplit = layers.map((card) => card![1] - card![0] + 1);
  const plan = planMemory(shape, { ...options, device: ['gpu', 'gpu'], layerSplit });
  t.deepEqual(
    plan.devices!.map((device) => device.layers),
    layers,
  );
  const room = machine.bytes * usableShare;
  // It counts a card's scratch as the whole model's.
  for (const { name, total } of plan.devices!) t.ok(total <= room * 1.001, `${name}: ${total} bytes of ${room}`);
  const even = planMemory(shape, { ...options, device: ['gpu', 'gpu'] });
  const [first, last] = even.devices!.map(({ total }) => total);
  t.ok(Math.abs(first! - last!) < 5e9, `divided by bytes: ${first} and ${last}`);
});

test('the table says what it rests on', async (t) => {
  const { stdout, code } = await kexa(['inspect', fullSizeConfigFolder(), '--verdict']);
  t.equal(code, 0);
  for (const text of ['an estimate, not a measurement', 'their counts are for --split', 'CPU, 512 GB', '2000 GB/s'])
    t.ok(stdout.includes(text), text);
  const json = await kexa(['inspect', fullSizeConfigFolder(), '--verdict', '--json']);
  t.equal(
    (JSON.parse(json.stdout) as { verdicts: unknown[] }).verdicts.length,
    machines.length * verdictRecipes.length,
  );
});

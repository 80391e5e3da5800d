// The planner of steps, the learned cost of steps and the rules of admission, without a device (native/checks).
import { createRequire } from 'node:module';
import test from 'tape';
import { randomNumbers } from '../support/compare.js';

interface World {
  seed: number;
  events: number;
  slots: number;
  context: number;
  pages: number;
  prefillChunk: number;
  decodeRows: number;
  mixesPrompts: boolean;
  targetNs: number;
  stepNs: number;
  rowNs: number;
  hasSurprises: boolean;
  isCrowded: boolean;
}

interface Run {
  problem: string;
  steps: number;
  sharedSteps: number;
  mixedSteps: number;
  cutSteps: number;
  ended: number;
  parks: number;
  stalledParks: number;
  gaveWay: number;
  fullContexts: number;
  mostParks: number;
}

const require = createRequire(import.meta.url);
const { runPlanner, learnCosts, nextBoundary } = require(
  process.env.KEXA_CHECKS ?? '../../build/Release/kexa_checks.node',
) as {
  runPlanner(world: World): Run;
  learnCosts(steps: Float64Array, asked: Float64Array): Float64Array;
  nextBoundary(position: number): number;
};

const events = 100_000;
const eventsOfWorld = 1000;
const pageRows = 64;

/** A world of which each side is drawn from its seed. Its pool holds one to three contexts. */
function worldOf(seed: number): World {
  const next = randomNumbers(seed);
  const below = (count: number) => Math.floor(next() * count);
  const context = 128 + below(2000);
  const contextPages = Math.ceil(context / pageRows);
  return {
    seed,
    events: eventsOfWorld,
    slots: 1 + below(8),
    context,
    pages: contextPages + below(2 * contextPages),
    prefillChunk: [16, 17, 32, 64, 128, 256][below(6)] as number,
    decodeRows: [2, 3, 8, 32, 64][below(5)] as number,
    mixesPrompts: seed % 2 === 0,
    targetNs: 50e6,
    stepNs: 1e6 * below(20),
    rowNs: 1e5 * (1 + below(20)),
    hasSurprises: seed % 4 < 2,
    isCrowded: true,
  };
}

test(`${events} random events break no rule of the planner`, (t) => {
  const runs = Array.from({ length: events / eventsOfWorld }, (_, i) => {
    const run = runPlanner(worldOf(i + 1));
    if (run.problem) t.fail(`${run.problem}: ${JSON.stringify(worldOf(i + 1))}`);
    return run;
  });
  const all = (name: keyof Omit<Run, 'problem'>) => runs.reduce((sum, run) => sum + run[name], 0);
  t.ok(all('sharedSteps') > events / 4 && all('mixedSteps') > events / 10, 'many steps are of more than one request');
  t.ok(all('cutSteps') > events / 20, 'many steps had room for only a part of the rows');
  t.ok(
    all('ended') > 1000 && all('parks') > 100 && all('stalledParks') > 100,
    'many requests end, and many are parked',
  );
  t.ok(all('gaveWay') > 100 && all('fullContexts') > 100, 'low priorities give way, and full contexts end');
  t.equal(Math.max(...runs.map((run) => run.mostParks)), 3, 'some are parked as often as may be');
  t.end();
});

test('a request as long as the context, with 8 drafts, ends in a pool of one context', (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const world = { ...worldOf(seed), events: 0, isCrowded: false };
    const run = runPlanner({ ...world, pages: Math.ceil(world.context / pageRows) });
    if (run.problem || run.fullContexts !== 1) t.fail(`${run.problem}: ${JSON.stringify(world)}`);
  }
  t.pass('50 contexts');
  t.end();
});

/** Timed steps [rows, MTP passes, nanoseconds], with noise of a tenth, and each fiftieth ten times as long. */
function timed(shapes: [rows: number, passes: number][], costOf: (rows: number, passes: number) => number) {
  const noise = randomNumbers(7);
  return shapes.flatMap(([rows, passes], i) => [
    rows,
    passes,
    costOf(rows, passes) * (i % 50 === 49 ? 10 : 0.95 + 0.1 * noise()),
  ]);
}

function isNear(found: number, wanted: number, tolerance: number): boolean {
  return Math.abs(found - wanted) <= tolerance * wanted;
}

test('the cost of steps is learned, kept and learned anew', (t) => {
  const cost = (rows: number, passes: number) => 5e6 + 2e5 * rows + 1e6 * passes;
  const shapes = Array.from({ length: 300 }, (_, i): [number, number] => [1 + ((i * 37) % 129), i % 3]);
  const asked = new Float64Array([1, 0, 16, 2, 128, 0, 500, 1]);
  const near = (steps: number[], by: number, tolerance: number) => {
    const found = learnCosts(new Float64Array(steps), asked);
    return [0, 1, 2, 3].every((i) =>
      isNear(found[i] as number, by * cost(asked[2 * i] as number, asked[2 * i + 1] as number), tolerance),
    );
  };
  const mixed = timed(shapes, cost);
  t.ok(near(mixed, 1, 0.1), 'from steps of all kinds');
  const lonely = timed(Array(3000).fill([1, 0]), cost);
  t.ok(near([...mixed, ...lonely], 1, 0.2), 'still known after many steps of one row');
  t.ok(
    near([...mixed, ...timed(shapes, (rows, passes) => 2 * cost(rows, passes))], 2, 0.2),
    'the machine became slower',
  );
  t.notOk(near([...mixed, ...timed(shapes, (rows, passes) => cost(rows, passes) / 2)], 1, 0.2), 'this test can fail');

  const [, , , , , isKnown] = learnCosts(new Float64Array(lonely), asked);
  t.equal(isKnown, 0, 'steps of one size tell nothing of rows');
  t.equal(learnCosts(new Float64Array(mixed), asked)[5], 1);
  t.end();
});

test('more rows never cost less', (t) => {
  // Larger steps that were faster than smaller ones, as on a machine that was busy at first.
  const steps = timed(
    Array.from({ length: 60 }, (_, i): [number, number] => [1 + i, i % 2]),
    (rows, passes) => 1e8 / rows / (1 + passes),
  );
  const counts = Array.from({ length: 64 }, (_, i) => i + 1);
  const found = learnCosts(new Float64Array(steps), new Float64Array(counts.flatMap((rows) => [rows, 0, rows, 1])));
  for (let i = 0; i + 3 < 2 * counts.length; i++)
    if ((found[i + 2] as number) < (found[i] as number)) t.fail(`${counts[i >> 1]} rows`);
  for (let i = 0; i < 2 * counts.length; i += 2)
    if ((found[i + 1] as number) < (found[i] as number)) t.fail(`a pass beside ${counts[i >> 1]} rows`);
  t.ok((found[0] as number) > 0);
  t.end();
});

test('long prompts are kept at points that lie close together, however deep', (t) => {
  const points: number[] = [];
  for (let at = nextBoundary(0); at < 1_000_000; at = nextBoundary(at)) points.push(at);
  t.deepEqual(points.slice(0, 9), [512, 1024, 1536, 2048, 2560, 3072, 3584, 4096, 5120]);
  const gaps = points.map((point, i) => point - (points[i - 1] ?? 0));
  t.equal(Math.max(...gaps), 8192, `${points.length} points up to a million tokens`);
  t.ok(points.every((point, i) => gaps[i]! <= Math.max(512, point / 4)) && gaps.every((gap) => gap > 0));
  t.ok(
    Array.from({ length: 3000 }, (_, i) => 37 * i).every((at) => points.includes(nextBoundary(at))),
    'from any position on they are the same',
  );
  t.end();
});

// Which sequences of a batch draft, without a device (native/checks).
import { createRequire } from 'node:module';
import test from 'tape';
import { randomNumbers } from '../support/compare.js';

interface Turn {
  /** Steps timed before this turn: [rows, MTP passes, nanoseconds] of each. */
  timed: Float64Array;
  ids: Uint32Array;
  asked: Int32Array;
  /** [sequences, places] */
  chances: Float64Array;
}

const require = createRequire(import.meta.url);
const checks = require(process.env.KEXA_CHECKS ?? '../../build/Release/kexa_checks.node') as {
  planDrafts(turns: Turn[]): Uint32Array[];
  draftChances(judged: Uint32Array, rests: number): Float64Array;
  learnCosts(steps: Float64Array, asked: Float64Array): Float64Array;
};
const places = 8;

/** Timed steps on a machine where a step takes `fixed` and each row and MTP pass so much more. */
function timedSteps(fixed: number, row: number, pass: number): Float64Array {
  return new Float64Array(
    Array.from({ length: 200 }, (_, i) => [1 + (i % 64), i % 5, fixed + row * (1 + (i % 64)) + pass * (i % 5)]).flat(),
  );
}

function turnOf(
  chances: readonly number[],
  timed: Float64Array = new Float64Array(),
  asked = chances.map(() => -1),
): Turn {
  return {
    timed,
    ids: Uint32Array.from(chances, (_, i) => i + 1),
    asked: Int32Array.from(asked),
    chances: Float64Array.from(chances.flatMap((chance) => Array<number>(places).fill(chance))),
  };
}

function plan(...turns: Turn[]): number[][] {
  return checks.planDrafts(turns).map((drafts) => [...drafts]);
}

test('drafts where rows cost little, none where they cost a step', (t) => {
  const likely = [0.9, 0.9, 0.9, 0.9];
  t.ok(
    plan(turnOf(likely, timedSteps(1e7, 1e4, 1e5)))[0]!.every((drafts) => drafts > 3),
    'all draft a lot',
  );
  t.deepEqual(plan(turnOf(likely, timedSteps(1e5, 1e7, 1e5))), [[0, 0, 0, 0]], 'none');
  t.deepEqual(plan(turnOf(likely, timedSteps(1e7, 1e4, 1e8))), [[0, 0, 0, 0]], 'none where a pass costs ten steps');
  const [mixed] = plan(turnOf([0.9, 0.05, 0.9, 0.05], timedSteps(1e7, 2e6, 1e5)));
  t.ok(mixed![0]! > 0 && mixed![2]! > 0, 'who is mostly right drafts');
  t.deepEqual([mixed![1], mixed![3]], [0, 0], 'who is mostly wrong does not');
  t.end();
});

test('a request that asks for drafts has them, and others only if it pays', (t) => {
  const costly = timedSteps(1e5, 1e7, 1e5);
  t.deepEqual(plan(turnOf([0.1, 0.4, 0.9], costly, [3, -1, 0])), [[3, 0, 0]]);
  const cheap = timedSteps(1e7, 1e4, 1e5);
  const [drafts] = plan(turnOf([0.1, 0.9, 0.9], cheap, [3, -1, 0]));
  t.ok(drafts![0] === 3 && drafts![1]! > 3 && drafts![2] === 0);
  t.end();
});

test('no other number of drafts for any of the sequences gives more tokens in the same time', (t) => {
  const next = randomNumbers(3);
  let drafting = 0;
  for (let run = 0; run < 300; run++) {
    const count = 1 + Math.floor(next() * 5);
    const chances = Array.from({ length: count }, next);
    const timed = timedSteps(1e6 * next() * 10, 1e6 * next() * next(), 1e6 * next() * next());
    const [found] = plan(turnOf(chances, timed));
    const rate = (drafts: readonly number[]) => {
      const rows = count + drafts.reduce((sum, one) => sum + one, 0);
      const tokens = drafts.reduce((sum, one, i) => {
        for (let place = 1; place <= one; place++) sum += chances[i]! ** place;
        return sum;
      }, count);
      return tokens / checks.learnCosts(timed, new Float64Array([rows, Math.max(...drafts)]))[0]!;
    };
    const plain = rate(chances.map(() => 0));
    let best = 1.03 * plain;
    for (let drafts = 1; drafts <= places; drafts++)
      for (let who = 1; who < 2 ** count; who++)
        best = Math.max(best, rate(chances.map((_, i) => ((who >> i) & 1 ? drafts : 0))));
    const isDrafting = found!.some((drafts) => drafts > 0);
    if (isDrafting) drafting++;
    const reached = isDrafting ? rate(found!) : 1.03 * plain;
    if (reached < best * (1 - 1e-9)) t.fail(`run ${run}: ${found}: ${reached} of ${best}`);
  }
  t.ok(drafting > 50 && drafting < 290, `${drafting} of 300 draft`);
  t.end();
});

test('a choice stays for 16 steps, unless sequences come or go', (t) => {
  const [cheap, costly] = [timedSteps(1e7, 1e4, 1e5), timedSteps(1e5, 1e7, 1e5)];
  const slower = Float64Array.from([...costly, ...costly, ...costly]);
  const same = Array.from({ length: 19 }, () => turnOf([0.9, 0.9]));
  const drafts = plan(turnOf([0.9, 0.9], cheap), turnOf([0.9, 0.9], slower), ...same);
  t.ok(drafts[0]![0]! > 0);
  for (const [i, found] of drafts.entries())
    if (String(found) !== String(i < 16 ? drafts[0] : [0, 0])) t.fail(`step ${i}: ${found}`);
  const joined = plan(turnOf([0.9, 0.9], cheap), turnOf([0.9, 0.9, 0.9], slower));
  t.deepEqual(joined[1], [0, 0, 0], 'one that comes is thought of at once');
  t.end();
});

test('the chance of a draft follows what was judged, and drafts are tried again after answers without', (t) => {
  const first = checks.draftChances(new Uint32Array(), 0);
  t.ok(
    first.every((chance) => Math.abs(chance - 0.7) < 1e-9),
    'a guess at first',
  );
  const judged = Uint32Array.from(Array(60).fill([4, 1]).flat());
  const found = checks.draftChances(judged, 0);
  t.ok(found[0]! > 0.95, 'the first was always right');
  t.ok(found[1]! < 0.15, 'the second never');
  t.ok(found[2]! < 0.15, 'the third was never judged, and is taken to be like the second');
  const rested = checks.draftChances(judged, 20);
  t.ok(rested[1]! > 0.6, `after 20 answers ${rested[1]}`);
  t.end();
});

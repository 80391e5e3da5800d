// Where the engine and a grammar worker meet, with made-up answers and workers (native/checks).
import { createRequire } from 'node:module';
import test from 'tape';

interface Run {
  problem: string;
  masks: number;
  dropped: number;
  workers: number;
  replayed: number;
  failures: number;
}

const require = createRequire(import.meta.url);
const { runGrammarPort } = require(process.env.KEXA_CHECKS ?? '../../build/Release/kexa_checks.node') as {
  runGrammarPort(seed: number, events: number): Run;
};

test('masks are of the tokens that an answer has now, whatever workers do', (t) => {
  const sum = { masks: 0, dropped: 0, workers: 0, replayed: 0, failures: 0 };
  for (let seed = 1; seed <= 50; seed++) {
    const run = runGrammarPort(seed, 4000);
    if (run.problem) t.fail(`seed ${seed}: ${run.problem}`);
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += run[key];
  }
  t.ok(sum.masks > 10_000, `${sum.masks} steps had their masks`);
  t.ok(sum.dropped > 10_000, `${sum.dropped} late or repeated answers were dropped`);
  t.ok(
    sum.workers > 500 && sum.replayed > 500,
    `${sum.workers} workers, which were told ${sum.replayed} begun answers`,
  );
  t.ok(sum.failures > 100, `${sum.failures} answers ended because no token was allowed`);
  t.end();
});

/**
 * Ends: of processes, workers and unreferenced models, in the middle of the work. Each case is a process of its own.
 */
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import test, { type Test } from 'tape';
import { loadGoldens, modelFolder } from '../support/goldens.js';
import { hangLimit } from '../support/hang-limit.js';
import { newFolder } from '../support/small-model.js';

const entry = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
const { ids: prompt, greedy } = loadGoldens('tiny').prompts[0]!;

/** The beginning of every script. An `endless` answer ends with the context, which takes the reader minutes. */
const head = `
import { loadModel } from ${JSON.stringify(pathToFileURL(entry).href)};
import { setTimeout as sleep } from 'node:timers/promises';
const folder = ${JSON.stringify(modelFolder('tiny'))};
const prompt = ${JSON.stringify(prompt)}, greedy = ${JSON.stringify(greedy)};
const endless = { temperature: 0, ignoreEos: true };
const golden = { ...endless, maxTokens: greedy.length };
const check = ({ ids }) => { if (ids.join() !== greedy.join()) throw new Error('a wrong answer: ' + ids); };
`;

interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

interface RunOptions {
  args?: string[];
  /** Sent once the script has written something. */
  kill?: NodeJS.Signals;
}

/** Runs a script to its end. One that hangs is killed, with SIGKILL. */
async function run(t: Test, script: string, { args = [], kill }: RunOptions = {}): Promise<Ending> {
  if (!existsSync(entry)) throw new Error(`${entry}: no such file; run "npm run build" first`);
  const file = join(await newFolder(t), 'script.mjs');
  writeFileSync(file, head + script);
  return await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...args, file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: hangLimit,
      killSignal: 'SIGKILL',
    });
    const text = { stdout: '', stderr: '' };
    child.on('error', reject);
    child.stderr.setEncoding('utf8').on('data', (part) => {
      text.stderr += part;
    });
    child.stdout.setEncoding('utf8').on('data', (part) => {
      if (kill !== undefined && text.stdout === '') child.kill(kill);
      text.stdout += part;
    });
    child.on('close', (code, signal) => resolve({ code, signal, ...text }));
  });
}

function endsWell(t: Test, { code, signal, stdout, stderr }: Ending, wantedOutput: string): void {
  t.deepEqual([code, signal, stderr], [0, null, ''], 'it ends by itself, with nothing to complain about');
  t.equal(stdout.trim(), wantedOutput);
}

test('a stream left open does not keep the process alive', async (t) => {
  const ending = await run(
    t,
    `const model = await loadModel(folder);
    const iterator = model.generate(prompt, endless)[Symbol.asyncIterator]();
    await iterator.next();
    process.on('exit', () => console.log('exit'));`,
  );
  endsWell(t, ending, 'exit');
});

test('a model left open, and an answer nobody reads, do not keep the process alive', async (t) => {
  const ending = await run(
    t,
    `const model = await loadModel(folder);
    model.generate(prompt, endless);
    model.createSession();
    await sleep(50);
    console.log('end of the script');`,
  );
  endsWell(t, ending, 'end of the script');
});

test('a promise that is pending keeps the process alive until it is settled', async (t) => {
  const ending = await run(
    t,
    `const model = await loadModel(folder);
    model.generate(prompt, golden).then((answer) => { check(answer); console.log('answered'); });`,
  );
  endsWell(t, ending, 'answered');
});

test('process.exit() with work pending ends the process with its code', async (t) => {
  for (const work of [
    'model.generate(prompt, endless)[Symbol.asyncIterator]().next()',
    'model.generate(prompt, endless).then(() => {})',
    'model.forward(Array(3000).fill(70), { logits: "last" })',
    'loadModel(folder, { weights: "f32" })',
    'model.close()',
  ]) {
    for (const delay of [0, 15]) {
      const ending = await run(
        t,
        `const model = await loadModel(folder);
        void ${work};
        setTimeout(() => process.exit(7), ${delay});`,
      );
      t.deepEqual([ending.code, ending.signal, ending.stderr], [7, null, ''], `${work}, after ${delay} ms`);
    }
  }
});

test('an error nobody catches ends the process as it ends any', async (t) => {
  const ending = await run(
    t,
    `const model = await loadModel(folder);
    setTimeout(() => { throw new Error('mine'); }, 30);
    for await (const piece of model.generate(prompt, endless));`,
  );
  t.deepEqual([ending.code, ending.signal], [1, null]);
  t.match(ending.stderr, /Error: mine/);
});

test('SIGTERM ends the process in the middle of an answer', async (t) => {
  const script = `const model = await loadModel(folder);
    for await (const piece of model.generate(Array(2000).fill(70), endless)) console.log(piece.ids.length);
    await sleep(60000);`;
  for (const kill of ['SIGTERM', 'SIGINT'] as const) {
    const { code, signal, stderr } = await run(t, script, { kill });
    t.deepEqual([code, signal, stderr], [null, kill, '']);
  }
});

test('hundreds of answers that are given up cost no memory', async (t) => {
  const ending = await run(
    t,
    `import { existsSync, readFileSync } from 'node:fs';
    const model = await loadModel(folder);
    // Without the pages of the model's file, which come and go as others need memory.
    const ownBytes = () => {
      if (!existsSync('/proc/self/status')) return process.memoryUsage().rss;
      const status = readFileSync('/proc/self/status', 'utf8');
      const bytes = (name) => Number(new RegExp(name + ':\\\\s+(\\\\d+) kB').exec(status)[1]) * 1024;
      return bytes('RssAnon') + bytes('VmSwap');
    };
    let freed = 0;
    const registry = new FinalizationRegistry(() => { freed++; });
    const giveUp = async (i) => {
      const generation = model.generate(prompt, endless);
      registry.register(generation);
      const iterator = generation[Symbol.asyncIterator]();
      if (i % 4 > 0) await iterator.next();
      if (i % 4 > 1) await iterator.return();
      if (i % 4 > 2) await generation;
    };
    const used = () => { gc(); return ownBytes(); };
    for (let i = 0; i < 50; i++) await giveUp(i);
    await sleep(50);
    const before = used();
    for (let i = 50; i < 250; i++) { await giveUp(i); if (i % 20 === 0) { gc(); await sleep(5); } }
    for (let i = 0; i < 100 && freed < 240; i++) { gc(); await sleep(10); }
    const grown = (used() - before) / 2 ** 20;
    check(await model.generate(prompt, golden));
    console.log(freed >= 240 && grown < 8 ? 'bounded' : 'grown by ' + grown + ' MiB, freed ' + freed);`,
    { args: ['--expose-gc'] },
  );
  endsWell(t, ending, 'bounded');
});

test('workers can be terminated in the middle of an answer, again and again', async (t) => {
  const worker = `${head}
    import { parentPort } from 'node:worker_threads';
    const model = await loadModel(folder);
    for await (const piece of model.generate(prompt, endless)) parentPort.postMessage(piece.ids.length);`;
  const ending = await run(
    t,
    `import { Worker } from 'node:worker_threads';
    import { writeFileSync } from 'node:fs';
    const file = new URL('worker.mjs', import.meta.url);
    writeFileSync(file, ${JSON.stringify(worker)});
    for (let i = 0; i < 10; i++) {
      const worker = new Worker(file);
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      if (i % 2) await sleep(i);
      await worker.terminate();
    }
    const model = await loadModel(folder);
    check(await model.generate(prompt, golden));
    console.log('ten');`,
  );
  endsWell(t, ending, 'ten');
});

test('a model in a worker and one in the main thread run at the same time', async (t) => {
  const worker = `${head}
    import { parentPort } from 'node:worker_threads';
    const model = await loadModel(folder);
    parentPort.postMessage('loaded');
    for (let i = 0; i < 10; i++) check(await model.generate(prompt, golden));
    await model.close();
    parentPort.postMessage('right');`;
  const ending = await run(
    t,
    `import { Worker } from 'node:worker_threads';
    import { writeFileSync } from 'node:fs';
    import { once } from 'node:events';
    const file = new URL('worker.mjs', import.meta.url);
    writeFileSync(file, ${JSON.stringify(worker)});
    const model = await loadModel(folder);
    const worker = new Worker(file);
    await once(worker, 'message');
    const said = once(worker, 'message'), ended = once(worker, 'exit');
    let rounds = 0;
    let isOver = false;
    void ended.then(() => { isOver = true; });
    do { check(await model.generate(prompt, golden)); rounds++; } while (!isOver);
    console.log((await said)[0], (await ended)[0], rounds > 1);`,
  );
  endsWell(t, ending, 'right 0 true');
});

const threads = '/proc/self/task';

test('a model that nothing refers to is freed, with its threads', {
  skip: existsSync(threads) ? false : `threads are counted in ${threads}, which this system lacks`,
}, async (t) => {
  const ending = await run(
    t,
    `import { readdirSync } from 'node:fs';
      const count = () => readdirSync('${threads}').length;
      const use = async () => {
        const model = await loadModel(folder, { threads: 3 });
        check(await model.generate(prompt, golden));
        const left = model.generate(prompt, endless);
        await left[Symbol.asyncIterator]().next();
        return count();
      };
      await use();
      for (let i = 0; i < 20; i++) { gc(); await sleep(10); }
      const before = count();
      const during = await use();
      let after = count();
      for (let i = 0; i < 200 && after > before; i++) { gc(); await sleep(10); after = count(); }
      console.log(during > before, after <= before, before < 3 * 10);`,
    { args: ['--expose-gc'] },
  );
  endsWell(t, ending, 'true true true');
});

/** Node with a limit on the threads of a user of its own: root has none, and others share theirs with all they run. */
function runWithThreads(most: number, script: string, args: string[]): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const node = [process.execPath, '--v8-pool-size=0', '--input-type=module', '-e', head + script, ...args];
    const child = spawn(
      'setpriv',
      ['--reuid=65534', '--regid=65534', '--clear-groups', 'prlimit', `--nproc=${most}`, ...node],
      { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000, killSignal: 'SIGKILL' },
    );
    const text = { stdout: '', stderr: '' };
    child.on('error', reject);
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].setEncoding('utf8').on('data', (part) => {
        text[stream] += part;
      });
    child.on('close', (code, signal) => resolve({ code, signal, ...text }));
  });
}

test('threads that the system does not start end in one error', async (t) => {
  const probe = "console.log('begun'); void folder;";
  const found = await runWithThreads(60, probe, []).catch(() => null);
  if (found?.stdout.trim() !== 'begun')
    return t.skip('this user cannot run Node as another with a limit of threads (setpriv and prlimit, as root)');
  const script = `const [, threads, weights] = process.argv;
    try {
      const model = await loadModel(folder, { device: 'cpu', threads: Number(threads), contextSize: 64, weights });
      check(await model.generate(prompt, { ...golden, maxTokens: 2 }).then(({ ids }) => ({ ids: [...ids, ...greedy.slice(2)] })));
      await model.close();
      console.log('answered');
    } catch (error) { console.log(error.name, error.code, error.message.includes('ulimit')); }`;
  const refused = 'KexaError KEXA_OUT_OF_MEMORY true';
  for (const [most, threads, weights, wanted] of [
    [60, 2, 'auto', [/answered/]],
    [40, 1024, 'auto', [refused]],
    [40, 1024, 'f32', [refused]],
    // About as many as Node itself has: which of kexa's threads is the first that is missing differs.
    [11, 4, 'auto', [refused]],
    [10, 4, 'auto', [refused]],
    [9, 4, 'auto', [refused]],
    [8, 4, 'auto', [refused]],
    [9, 1, 'f32', [refused, 'answered']],
  ] as const) {
    const { code, signal, stdout } = await runWithThreads(most, script, [String(threads), weights]);
    const isRight = wanted.some((one) => (typeof one === 'string' ? stdout.trim() === one : one.test(stdout)));
    t.ok(
      code === 0 && signal === null && isRight,
      `${threads} threads, ${most} allowed: ${stdout.trim()} ${code} ${signal}`,
    );
  }
});

test('an unclosed model that is collected in the middle of a long step does not hold up JavaScript', {
  skip: existsSync(threads) ? false : `threads are counted in ${threads}, which this system lacks`,
}, async (t) => {
  const ending = await run(
    t,
    `const use = async () => {
        const model = await loadModel(folder, { threads: 1 });
        void model.forward(Array(3000).fill(70), { logits: 'last' }).catch(() => {});
        await sleep(20);
      };
      await use();
      let longest = 0;
      for (let i = 0; i < 40; i++) {
        const began = performance.now();
        gc();
        await sleep(1);
        longest = Math.max(longest, performance.now() - began);
      }
      console.log(longest < 1000 ? 'never' : longest);`,
    { args: ['--expose-gc'] },
  );
  endsWell(t, ending, 'never');
});

test('weights that are cut short while a model reads them end its requests in an error', async (t) => {
  const ending = await run(
    t,
    `import { cpSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
    import { tmpdir } from 'node:os';
    import { join } from 'node:path';
    const copy = mkdtempSync(join(tmpdir(), 'kexa-cut-'));
    cpSync(folder, copy, { recursive: true });
    const model = await loadModel(copy, { device: 'cpu', threads: 1 });
    check(await model.generate(prompt, golden));
    truncateSync(join(copy, 'model.safetensors'), 40000);
    const codes = [];
    for (const ask of [() => model.generate(prompt, golden), () => model.forward(prompt), () => model.score(prompt)])
      try { await ask(); } catch ({ code, message }) { codes.push(code, message.includes('model.safetensors: was cut short')); }
    await model.close();
    rmSync(copy, { recursive: true });
    console.log(codes.join());`,
  );
  endsWell(t, ending, Array(3).fill('KEXA_BAD_FILE,true').join());
});

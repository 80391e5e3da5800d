/** The commands `kexa score`, `tokenize`, `inspect` and `doctor`, and what the help says. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { wrapHelp } from '../../lib/cli/help-text.js';
import { buildProgram } from '../../lib/cli/program.js';
import type { DeviceInfo, ModelConfig } from '../../lib/types.js';
import {
  bin,
  environment,
  genesis,
  golden,
  goldens,
  kexa,
  kexaRuns,
  root,
  temporaryFolder,
  tiny,
} from '../support/cli.js';
import { hangLimit } from '../support/hang-limit.js';
import { type ModelName, modelFolder } from '../support/models.js';

test('score --json agrees with the reference', async (t) => {
  for (const { ids, text, logprobs } of goldens) {
    const run = await kexa(['score', '-m', tiny, '-p', '-', '--json'], { input: `${text}\n` });
    t.deepEqual([run.code, run.stderr], [0, '']);
    const score = JSON.parse(run.stdout) as { ids: number[]; logprobs: number[]; sum: number; perplexity: number };
    t.equal(Object.keys(score).join(' '), 'ids logprobs sum perplexity');
    t.deepEqual(score.ids, ids);
    const furthest = Math.max(...logprobs.map((wanted, i) => Math.abs(wanted - score.logprobs[i]!)));
    t.ok(score.logprobs.length === logprobs.length && furthest < 1e-3, `within ${furthest} of the reference`);
    const sum = logprobs.reduce((total, logprob) => total + logprob, 0);
    t.ok(Math.abs(score.sum - sum) < 1e-3 * logprobs.length, 'sum');
    t.ok(Math.abs(Math.log(score.perplexity) + sum / logprobs.length) < 1e-3, 'perplexity');
  }
});

test('score prints a table, and takes ids', async (t) => {
  const run = await kexa(['score', '-m', tiny, '-p', genesis]);
  t.equal(run.code, 0);
  t.match(run.stdout, /^ *id +logprob +probability +token\n/);
  t.match(run.stdout, /2727 +-\d+\.\d{4} +\d+\.\d\d% +" beginning"\n/);
  t.match(run.stdout, /\n3 of 4 tokens scored; sum -\d+\.\d{4}; perplexity \d/);
  t.equal((await kexa(['score', '-m', tiny, '--ids', '-p', golden.ids.join(' ')])).stdout, run.stdout);
});

test('a file without an end is read no further than any context goes', async (t) => {
  if (!existsSync('/dev/zero')) return t.skip('there is no /dev/zero');
  for (const command of ['generate', 'score', 'tokenize']) {
    const run = await kexa([command, '-m', tiny, '-f', '/dev/zero']);
    t.deepEqual(run, {
      code: 1,
      stdout: '',
      stderr: 'kexa: /dev/zero: wanted a text of at most 256 MiB, found a longer one\n',
    });
  }
});

test('a text that cannot fit is refused before it is encoded', async (t) => {
  const file = join(temporaryFolder(t), 'long.txt');
  writeFileSync(file, 'long '.repeat(4e6));
  for (const command of [['generate'], ['generate', '--raw'], ['score'], ['verify', '--raw']]) {
    const name = command[0] === 'verify' ? '--prompts' : '-f';
    const run = await kexa([...command, '-m', tiny, name, file]);
    t.equal(run.code, 1);
    t.match(run.stderr, /at least \d+ tokens do not fit the context of \d+/, command.join(' '));
  }
});

test('tokenize and --decode are each other’s way back, with tokenizer.json alone', async (t) => {
  const folder = temporaryFolder(t);
  cpSync(join(tiny, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  for (const text of [genesis, '한글 é 👩‍👩‍👧‍👦\n\ttab', '<|user|> is special', ' ']) {
    const ids = await kexa(['tokenize', '-m', folder, '-p', text, '--ids']);
    t.match(ids.stdout, /^\d+( \d+)*\n$/);
    const back = await kexa(['tokenize', '-m', folder, '--decode', '-'], { input: ids.stdout });
    t.deepEqual(back, { code: 0, stdout: `${text}\n`, stderr: '' });
    const json = await kexa(['tokenize', '-m', folder, '-p', text, '--json']);
    const described = JSON.parse(json.stdout) as { text: string; ids: number[]; tokens: string[] };
    t.equal(described.text, text);
    t.equal(described.ids.join(' '), ids.stdout.trim());
    t.equal(described.tokens.length, described.ids.length);
  }
  const table = await kexa(['tokenize', '-m', folder, '-p', genesis]);
  t.equal(table.stdout, '3466  "In the"\n2727  " beginning"\n 658  " God"\n2120  " created"\n4 tokens\n');
  t.equal((await kexa(['tokenize', '-m', folder, '-p', 'x', '--decode', '1'])).code, 2);
});

const noFullDisk = existsSync('/dev/full') ? {} : { skip: 'needs /dev/full' };

test('output that cannot be written is an error', noFullDisk, (t) => {
  const script = '"$0" "$@" > /dev/full';
  const args = ['-c', script, process.execPath, bin, 'tokenize', '-m', tiny, '-p', 'x'];
  const run = spawnSync('bash', args, { env: environment, encoding: 'utf8', timeout: hangLimit });
  t.equal(run.status, 1);
  t.match(run.stderr, /^kexa: standard output: ENOSPC/);
  t.end();
});

interface Inspected {
  folder: string;
  config: ModelConfig;
  weights: { files: string[]; bytes: number; types: { tensors: number; bytes: number }[]; tensors?: unknown[] } | null;
  memory: { contextSize: number; total: number; weights: { total: number } };
}

test('inspect shows every model, without its weights', async (t) => {
  const layers: Record<ModelName, string> = {
    tiny: '8: 2 x [32, 32, 32, global]',
    wide: '4: 3 x 128, global',
    edge: '6: 2 x [5, 5, global]',
    two: '8: global, 64, 3 x 6, global, 6, global',
  };
  for (const [name, pattern] of Object.entries(layers)) {
    const folder = modelFolder(name as ModelName);
    const run = await kexa(['inspect', folder]);
    t.deepEqual([run.code, run.stderr], [0, ''], name);
    t.ok(run.stdout.includes(`  layers  `) && run.stdout.includes(pattern), pattern);
    const { config, weights, memory } = JSON.parse(
      (await kexa(['inspect', '-m', folder, '--json', '--tensors'])).stdout,
    ) as Inspected;
    t.equal(config.modelType, 'exaone_moe');
    const counted = weights!.types.reduce((sum, { tensors }) => sum + tensors, 0);
    t.equal(weights!.tensors!.length, counted, 'every tensor has a type');
    t.ok(
      weights!.bytes >= 2 * config.parameters && weights!.bytes < 2.1 * config.parameters,
      'bytes fit the parameters',
    );
    t.ok(memory.total > weights!.bytes, 'the plan has room for more than the weights');
  }
});

test('inspect needs nothing but a config', async (t) => {
  const folder = join(root, 'models/K-EXAONE-236B-A23B');
  const run = await kexa(['inspect', folder, '--memory', '--tensors', '-c', '128K']);
  t.deepEqual([run.code, run.stderr], [0, '']);
  for (const text of [
    '12 x [128, 128, 128, global]',
    'dense 18432, 47 x MoE',
    'none here',
    '131,072 tokens',
    'no tensors',
  ]) {
    t.ok(run.stdout.includes(text), text);
  }
  const json = JSON.parse((await kexa(['inspect', folder, '--json', '-c', '8k'])).stdout) as Inspected;
  t.equal(json.weights, null);
  t.equal(json.config.parameters, 237099669632);
  t.equal(json.memory.contextSize, 8000);
  t.ok(json.memory.weights.total > 470e9);
  const crowd = ['--slots', '16', '--cache-tokens', '256K'];
  const { stdout } = await kexa(['inspect', folder, '--memory', '-c', '16K', ...crowd]);
  t.ok(stdout.includes('for 16 sequences, '), 'rings for 16');
  t.ok(stdout.includes('262,144 of all sequences together'), 'that share 262,144 tokens');
  const tooLong = await kexa(['inspect', folder, '-c', '1M']);
  t.equal(tooLong.code, 2);
  t.match(tooLong.stderr, /'-c, --ctx-size <n>': wanted an integer from 1 to 262144, found 1048576/);
});

test('inspect --memory and --tensors show details', async (t) => {
  const { stdout } = await kexa(['inspect', tiny, '--memory', '--tensors']);
  t.match(stdout, /cache, global layers +[\d,]+ /);
  t.match(stdout, /layers\.1\.experts\.15\.gate +bf16 +\[64, 256\] +32,768 +model\.safetensors at /);
});

test('doctor says what there is, in bounded time', async (t) => {
  const run = await kexa(['doctor', '--json']);
  t.equal(run.code, 0);
  const report = JSON.parse(run.stdout);
  t.equal(Object.keys(report).join(' '), 'ok kexa node os cpu memory native devices dawn tuning');
  t.ok(report.native.loads && existsSync(report.native.path), report.native.path);
  const { used, available } = report.native.instructionSets;
  t.equal(used, available.at(-1), 'the best instructions there are');
  t.equal(report.devices.at(-1).name, 'cpu');
  t.ok(Array.isArray(report.dawn.adapters));
  t.equal(report.dawn.version, '0.6.2');
  const text = await kexa(['doctor']);
  t.match(text.stdout, /kexa can run models here\.\n$/);
});

test('without a home folder kexa works, and keeps nothing', async (t) => {
  const nowhere = join(temporaryFolder(t), 'no-home.cjs');
  // Like a user whom the system does not know, and without HOME.
  writeFileSync(
    nowhere,
    `require('node:os').homedir = () => { throw new Error('uv_os_homedir returned ENOENT'); };
    require('node:module').syncBuiltinESMExports();`,
  );
  const env: NodeJS.ProcessEnv = { ...environment, NODE_OPTIONS: `--require=${nowhere}` };
  for (const name of ['HOME', 'KEXA_CACHE_DIR', 'XDG_CACHE_HOME', 'KEXA_TUNING']) delete env[name];
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [bin, ...args], { env, encoding: 'utf8', timeout: hangLimit });
  const doctor = run('doctor', '--json');
  t.equal(doctor.status, 0, doctor.stderr);
  t.deepEqual(JSON.parse(doctor.stdout).tuning, { path: null, devices: [], error: null });
  // Dawn's Null backend asks for the folder of compiled kernels, as every GPU does.
  const answer = run('generate', '-m', tiny, '--raw', '-p', 'x', '-n', '1', '--device', 'null', '-c', '16', '-b', '1');
  t.notOk(answer.stderr.includes('homedir'), answer.stderr);
});

test('doctor reports an addon that does not load', async (t) => {
  const run = await kexa(['doctor', '--json'], { env: { KEXA_BINARY: '/no/such/kexa.node' } });
  t.equal(run.code, 1);
  const { native, ok } = JSON.parse(run.stdout);
  t.equal(ok, false);
  t.match(native.error, /\/no\/such\/kexa\.node/);
});

test('a Dawn that crashes is only reported', (t) => {
  const folder = temporaryFolder(t);
  for (const part of ['bin', 'dist', 'package.json']) cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(
    join(folder, 'dist/cli/dawn-probe.js'),
    "console.error('bad driver'); process.kill(process.pid, 'SIGSEGV');",
  );
  const args = [join(folder, 'bin/kexa.js'), 'doctor', '--json'];
  const env = { ...environment, KEXA_BINARY: environment.KEXA_BINARY ?? join(root, 'build/Release/kexa.node') };
  const run = spawnSync(process.execPath, args, { env, encoding: 'utf8', timeout: hangLimit });
  t.equal(run.status, 0);
  t.equal(JSON.parse(run.stdout).dawn.error, 'crashed (SIGSEGV): bad driver');
  t.end();
});

const flags: Record<string, string> = {
  generate: `-p --prompt -f --file -n --max-tokens --temp --top-k --top-p --min-p --repeat-penalty --repeat-last-n
    --presence-penalty --frequency-penalty -s --seed --system --raw --think --no-think --special-tokens-in-text --hide-thinking --stop --logprobs
    --json-schema --regex --grammar --choice --ignore-eos -m --model --device --list-devices -c --ctx-size -b --batch-size -t --threads --cache-type --weights
    --activations --prefix-cache --mtp --timings --check --json --ids`,
  chat: '-m --model -n --temp --seed --system --think --no-think --special-tokens-in-text --hide-thinking --stop --mtp --timings --ctx-size',
  serve: `-m --model --served-name --host --port --api-key --api-key-file --admin-key --no-auth --metrics-auth --allowed-host
    --cors --max-queue --max-per-key --max-body --drain-delay --drain-timeout --stall-timeout --hang-timeout --strict-fields
    --reasoning-field --no-page --store-responses --tls-cert --tls-key --log --log-prompts --device -c --ctx-size --slots
    --cache-tokens --park-bytes --max-step-ms --prefix-cache -t --threads`,
  score: '-m --model -p --prompt -f --file --ids --json --ctx-size --threads',
  verify: '-m --model -p --prompt --prompts --raw --ids -n --max-tokens --device --ctx-size --batch-size --json',
  bench:
    '-m --model -p --n-prompt -n --n-gen --pg -d --n-depth --mtp -r --repetitions --no-warmup -f --file --config --layers -o',
  batch: 'run status',
  tokenize:
    '-m --model -p --prompt -f --file --json --ids --decode --template --system --think --no-think --special-tokens-in-text',
  inspect: '-m --model --tensors --memory --verdict -c --ctx-size --cache-type --weights --activations --json',
  pull: '--include --to -j --jobs --accept-license --offline --json',
  models: '--json',
  rm: '-y --yes --json',
  quantize: '--recipe -t --threads --force --json',
  doctor: '--json',
  completion: '--help',
};

test('the help of every command, and docs/cli.md, name every flag', async (t) => {
  // docs/serve.md has the table of the server's own flags.
  const docs = ['docs/cli.md', 'docs/serve.md'].map((file) => readFileSync(join(root, file), 'utf8')).join('\n');
  const program = await buildProgram();
  t.equal(program.commands.map((command) => command.name()).join(' '), Object.keys(flags).join(' '));
  const helps = await kexaRuns(program.commands.map((command) => ({ args: [command.name(), '--help'] })));
  for (const [i, command] of program.commands.entries()) {
    const help = helps[i]!;
    t.deepEqual([help.code, help.stderr], [0, '']);
    const words = new Set(help.stdout.split(/[\s,]+/));
    const wanted = [
      ...flags[command.name()]!.split(/\s+/),
      ...command.options.filter(({ hidden }) => !hidden).map(({ long }) => long!),
    ];
    t.deepEqual(
      wanted.filter((flag) => !words.has(flag)),
      [],
      `kexa ${command.name()} --help`,
    );
    const [, section = ''] = docs.split(`## kexa ${command.name()}`);
    t.notEqual(section, '', `docs/cli.md has kexa ${command.name()}`);
    const documented = wanted.filter((flag) => !new RegExp(`(^|[\`\\s])${flag}(?![\\w-])`, 'm').test(docs));
    t.deepEqual(documented, [], 'documented');
    t.ok(
      help.stdout.split('\n').every((line) => line.length <= 120),
      'no line is longer than 120',
    );
  }
  const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
  t.equal((await kexa(['--version'])).stdout, `${version}\n`);
  for (const run of await kexaRuns([{ args: ['-v'] }, { args: ['-V'] }])) t.equal(run.stdout, `${version}\n`);
  for (const path of [['score'], ['bench', 'ops']]) {
    const [first, second] = await kexaRuns([{ args: ['help', ...path] }, { args: [...path, '--help'] }]);
    t.equal(first!.stdout, second!.stdout, `kexa help ${path.join(' ')}`);
  }
  t.match((await kexa(['help'])).stdout, /^Usage: kexa [\s\S]*doctor/);
  const wrong: [string[], RegExp][] = [
    [['help', 'foo'], /^kexa: help: there is no command 'foo'; there are generate, .*\nSee kexa --help\./],
    [['help', 'bench', 'foo'], /there is no command 'bench foo'; there are compare, ops\nSee kexa bench --help/],
    [['bench', 'ops', '--foo'], /unknown option '--foo'\nSee kexa bench ops --help/],
    [['inspect', 'a', 'b'], /^kexa: too many arguments.*\nSee kexa inspect --help\.\n$/],
  ];
  for (const [i, run] of (await kexaRuns(wrong.map(([args]) => ({ args })))).entries()) {
    const [args, message] = wrong[i]!;
    t.deepEqual([run.code, run.stdout], [2, ''], args.join(' '));
    t.match(run.stderr, message);
  }
});

test('flags of other engines are told by their name here', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--temperature', '1'], /^kexa: unknown option '--temperature'\n\(Did you mean --temp\?\)\n/],
    [['--n-predict', '8'], /'--n-predict'\n\(Did you mean --max-tokens\?\)/],
    [['--ctx', '8'], /'--ctx'\n\(Did you mean --ctx-size\?\)/],
    [['--max-model-len=8'], /'--max-model-len'\n\(Did you mean --ctx-size\?\)/],
    [['-ngl', '99'], /unknown option '-ngl'\n\(a GPU takes all layers: --device gpu/],
    [['-ctk', 'q8_0'], /unknown option '-ctk'\n\(Did you mean --cache-type\?\)/],
    [['-n', 'gl'], /'-n, --max-tokens <n>' argument 'gl' is invalid/],
    [['--tempp', '1'], /\(Did you mean --temp\?\)/],
  ];
  const runs = await kexaRuns(cases.map(([args]) => ({ args: ['generate', ...args] })));
  for (const [i, [args, hint]] of cases.entries()) {
    t.equal(runs[i]!.code, 2, args.join(' '));
    t.match(runs[i]!.stderr, hint);
  }
});

test('paragraphs below the flags fit the help, commands stay as they are', (t) => {
  const text = '\nExamples:\n  kexa a very long command that stays\n\nOne two three\nfour five six.\n';
  t.equal(wrapHelp(text, 14), '\nExamples:\n  kexa a very long command that stays\n\nOne two three\nfour five six.\n');
  t.equal(wrapHelp('One two three\nfour.\n', 80), 'One two three four.\n');
  t.end();
});

test('--list-devices has heads, and JSON', async (t) => {
  const { stdout } = await kexa(['generate', '--list-devices']);
  t.match(stdout, /^device +kind +memory +what it is\n/);
  const devices = JSON.parse((await kexa(['generate', '--list-devices', '--json'])).stdout) as DeviceInfo[];
  const cpu = devices.find(({ kind }) => kind === 'cpu')!;
  t.equal(cpu.isSoftware, false, 'a processor is no software GPU');
  const word = /\w{3,}/.exec(cpu.description)![0];
  const refused = await kexa(['generate', '-m', tiny, '-p', 'x', '--device', word]);
  if (refused.code !== 0) t.match(refused.stderr, /the processor is called 'cpu'/);
});

test('without dist the command says how to build', (t) => {
  const folder = temporaryFolder(t);
  cpSync(bin, join(folder, 'bin/kexa.js'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const run = spawnSync(process.execPath, [join(folder, 'bin/kexa.js')], { encoding: 'utf8' });
  t.equal(run.status, 1);
  t.match(run.stderr, /npm run build/);
  t.end();
});

/** The command `kexa`, run as a program: what it prints where, its exit codes, its signals. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'tape';
import { buildProgram } from '../lib/cli/program.js';
import type { GenerationResult, ModelConfig } from '../lib/types.js';
import { goldensFolder, type ModelName, modelFolder } from './support/models.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'bin/kexa.js');
const tiny = modelFolder('tiny');
const genesis = 'In the beginning God created';
const greedy = ['generate', '-m', tiny, '--temp', '0'];
const timeLimit = 60_000;

interface Golden {
  ids: number[];
  greedy: number[];
  logprobs: number[];
  text: string;
}

const goldens = JSON.parse(readFileSync(join(goldensFolder('tiny'), 'goldens.json'), 'utf8')) as Golden[];
const golden = goldens.find(({ text }) => text === genesis)!;

// Variables of whoever runs the tests must not decide them.
const environment: NodeJS.ProcessEnv = { ...process.env };
for (const name of Object.keys(environment))
  if (name.startsWith('KEXA_') && name !== 'KEXA_BINARY') delete environment[name];
delete environment.NO_COLOR;

interface Run {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface RunOptions {
  /** What is piped in; null is an empty input. */
  input?: string | Buffer | null;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

function start(args: readonly string[], { env = {}, cwd = root }: RunOptions = {}) {
  return spawn(process.execPath, [bin, ...args], { cwd, env: { ...environment, ...env }, timeout: timeLimit });
}

async function kexa(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const child = start(args, options);
  child.stdin.on('error', () => {}); // it may end without having read all
  child.stdin.end(options.input ?? '');
  return await ended(child);
}

async function ended(child: ChildProcess): Promise<Run> {
  const run = { code: null as number | null, stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    run.stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    run.stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  run.code = code;
  return run;
}

/** A new folder, gone after the test. */
function temporaryFolder(t: test.Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

let greedyText = '';

test('tokenize --decode gives the text of the golden ids', async (t) => {
  const run = await kexa(['tokenize', '-m', tiny, '--decode', golden.greedy.slice(0, 32).join(' ')]);
  t.deepEqual([run.code, run.stderr], [0, '']);
  greedyText = run.stdout.slice(0, -1);
  t.ok(greedyText.startsWith(', the God of our fathers'), greedyText);
});

test('generate continues a text as the reference does, and prints nothing else', async (t) => {
  const run = await kexa([...greedy, '-p', genesis, '--raw', '-n', '32']);
  t.deepEqual(run, { code: 0, stdout: `${greedyText}\n`, stderr: '' });
});

test('generate --json prints one object with the fields of the result', async (t) => {
  const run = await kexa([...greedy, '-p', genesis, '--raw', '-n', '32', '--json', '--logprobs', '2', '-s', '7']);
  t.deepEqual([run.code, run.stderr], [0, '']);
  t.equal(run.stdout.indexOf('\n'), run.stdout.length - 1, 'one line');
  const result = JSON.parse(run.stdout) as GenerationResult;
  const names = 'finishReason ids logprobs reasoning seed speculation text timings toolCalls usage';
  t.equal(Object.keys(result).sort().join(' '), names);
  t.equal(result.text, greedyText);
  t.deepEqual(result.ids, golden.greedy.slice(0, 32));
  t.equal(result.finishReason, 'length');
  t.deepEqual(result.usage, { promptTokens: 4, cachedTokens: 0, completionTokens: 32 });
  t.equal(result.seed, 7);
  t.ok(
    result.logprobs!.every(({ id, top }) => top.length === 2 && top[0]!.id === id),
    'greedy takes the best of the alternatives',
  );
  const without = JSON.parse((await kexa([...greedy, '-p', genesis, '--raw', '-n', '1', '--json'])).stdout);
  t.notOk('logprobs' in without, 'no logprobs unless asked for');
});

test('the same seed gives the same answer, another seed another', async (t) => {
  const answer = async (seed: string) =>
    (await kexa(['generate', '-m', tiny, '--raw', '-p', genesis, '-n', '24', '--temp', '1.5', '-s', seed])).stdout;
  const [one, same, other] = [await answer('1'), await answer('1'), await answer('2')];
  t.equal(one, same);
  t.notEqual(one, other);
});

test('a prompt may come from -p, a file, - or a pipe', async (t) => {
  const file = join(temporaryFolder(t), 'prompt.txt');
  writeFileSync(file, `${genesis}\n`);
  const args = [...greedy, '--raw', '-n', '8'];
  const wanted = await kexa([...args, '-p', genesis]);
  const input = `${genesis}\n`;
  t.deepEqual(await kexa([...args, '-f', file]), wanted, '-f, without the newline at the end of the file');
  t.deepEqual(await kexa([...args, '-p', '-'], { input }), wanted, '-p -');
  t.deepEqual(await kexa([...args, '-f', '-'], { input }), wanted, '-f -');
  t.deepEqual(await kexa(args, { input }), wanted, 'a pipe');
  t.deepEqual(await kexa([...args, '-p', genesis], { input: 'something else' }), wanted, '-p wins over a pipe');

  const child = start([...args, '-p', genesis]);
  t.deepEqual(await ended(child), wanted, 'with -p, a pipe that stays open is not waited for');
});

test('the chat template is used unless --raw is given, with --system and --no-think', async (t) => {
  const shown = async (...more: string[]) => {
    const { stdout } = await kexa(['tokenize', '-m', tiny, '-p', 'Insert Fields', '--template', '--json', ...more]);
    return (JSON.parse(stdout) as { text: string; ids: number[] }).ids;
  };
  const used = async (...more: string[]) => {
    const { stdout } = await kexa([...greedy, '-p', 'Insert Fields', '-n', '4', '--json', ...more]);
    return (JSON.parse(stdout) as GenerationResult).usage.promptTokens;
  };
  for (const more of [[], ['--no-think'], ['--think'], ['--system', 'Be short.']]) {
    t.equal(await used(...more), (await shown(...more)).length, `the prompt with ${more.join(' ') || 'no flag'}`);
  }
  t.notDeepEqual(await shown('--no-think'), await shown('--think'));
});

test('thinking goes to stderr, or nowhere', async (t) => {
  const args = [...greedy, '--think', '-p', 'How do I insert a table?', '-n', '80'];
  const shown = await kexa(args);
  t.equal(shown.code, 0);
  t.match(shown.stderr, /^The user asks about/);
  t.notOk(shown.stderr.includes('\x1b'), 'no colour where stderr is no terminal');
  t.match(shown.stdout, /^The Symbols dialog/);
  const hidden = await kexa([...args, '--hide-thinking']);
  t.deepEqual(hidden, { code: 0, stdout: shown.stdout, stderr: '' });
});

test('--stop ends the answer before the text, and may be given again', async (t) => {
  const args = [...greedy, '-p', genesis, '--raw', '-n', '32'];
  t.equal((await kexa([...args, '--stop', ' fathers'])).stdout, ', the God of our\n');
  t.equal((await kexa([...args, '--stop', 'nowhere', '--stop', ' God'])).stdout, ', the\n');
});

test('--ids takes and gives token ids, also for a model without a tokenizer', async (t) => {
  const run = await kexa([...greedy, '--ids', '-p', golden.ids.join(', '), '-n', '8']);
  t.deepEqual(run, { code: 0, stdout: `${golden.greedy.slice(0, 8).join(' ')}\n`, stderr: '' });
  const edge = JSON.parse(readFileSync(join(goldensFolder('edge'), 'goldens.json'), 'utf8')) as Golden[];
  const args = ['generate', '-m', modelFolder('edge'), '--temp', '0', '--ids', '--ignore-eos', '-n', '4'];
  const bare = await kexa(args, { input: edge[0]!.ids.join('\n') });
  t.deepEqual(bare, { code: 0, stdout: `${edge[0]!.greedy.slice(0, 4).join(' ')}\n`, stderr: '' });
});

test('--timings and --logprobs report on stderr', async (t) => {
  const run = await kexa([...greedy, '-p', genesis, '--raw', '-n', '4', '--timings', '--logprobs', '1']);
  t.equal(run.stdout, ', the God of\n');
  t.match(run.stderr, /prompt 4 tokens in .*; answer 4 tokens in .* tokens\/s; first after .*; ended by length\n/);
  t.match(run.stderr, / " God" -\d/);
});

test('a full context is said', async (t) => {
  const run = await kexa([...greedy, '-p', genesis, '--raw', '-c', '8']);
  t.equal(run.code, 0);
  t.match(run.stderr, /the context of 8 tokens is full; -c gives more/);
});

test('flags win over environment variables, and empty variables do not count', async (t) => {
  const env = { KEXA_MODEL: tiny, KEXA_TEMP: '0', KEXA_MAX_TOKENS: '4', KEXA_THREADS: '', KEXA_CTX_SIZE: '1k' };
  const run = await kexa(['generate', '--raw', '-p', genesis], { env });
  t.deepEqual(run, { code: 0, stdout: ', the God of\n', stderr: '' });
  const flagged = await kexa(['generate', '--raw', '-p', genesis, '-n', '2'], { env });
  t.equal(flagged.stdout, ', the\n');
});

test('wrong usage exits 2 and says what is wanted', async (t) => {
  const withPrompt = [...greedy, '-p', 'x'];
  const cases: [string[], RegExp, NodeJS.ProcessEnv?][] = [
    [['generate', '-m', tiny], /no prompt: standard input is empty/],
    [['generate', '-p', 'x'], /no model: name its folder with -m DIR, or in KEXA_MODEL/],
    [[...withPrompt, '--temp', 'hot'], /'--temp <t>' argument 'hot' is invalid\. It takes a number from 0 to 100\./],
    [[...withPrompt, '--temp', '101'], /from 0 to 100/],
    [[...withPrompt, '--top-k', '1.5'], /'--top-k <k>' argument '1\.5' is invalid\. It takes an integer from 0/],
    [[...withPrompt, '--top-p', '0'], /a number above 0, at most 1/],
    [[...withPrompt, '--min-p', '-1'], /a number from 0 to 1/],
    [[...withPrompt, '--repeat-penalty', '0'], /a number from 0\.01 to 100/],
    [[...withPrompt, '--repeat-last-n', '-2'], /an integer from -1/],
    [[...withPrompt, '--presence-penalty', '3'], /a number from -2 to 2/],
    [[...withPrompt, '--frequency-penalty', 'NaN'], /a number from -2 to 2/],
    [[...withPrompt, '-s', '-2'], /an integer from -1 to 9007199254740991/],
    [
      [...withPrompt, '-n', '0'],
      /'-n, --max-tokens <n>' argument '0' is invalid\. It takes an integer from 1 .* or -1\./,
    ],
    [[...withPrompt, '-c', '8q'], /8k is 8000, 8K is 8192/],
    [[...withPrompt, '-c', '8k'], /'-c, --ctx-size <n>': wanted an integer from 1 to 4096, found 8000/],
    [[...withPrompt, '-c', '8K'], /found 8192/],
    [[...withPrompt, '-b', '4097'], /an integer from 1 to 4096/],
    [[...withPrompt, '-t', '0'], /an integer from 1 to 1024/],
    [[...withPrompt, '--logprobs', '21'], /an integer from 0 to 20/],
    [[...withPrompt, '--stop', ''], /at least one character/],
    [[...withPrompt, '--mtp', 'on'], /an integer from 0 to 16, or auto or off/],
    [[...withPrompt, '--cache-type', 'q8'], /Allowed choices are auto, f32, f16, bf16/],
    [[...withPrompt, '--weights', 'int3'], /Allowed choices are auto, bf16, f16, f32/],
    [[...withPrompt, '-f', 'y'], /either -p, --prompt or -f, --file/],
    [[...withPrompt, '--tempp', '1'], /unknown option '--tempp'\n\(Did you mean --temp\?\)/],
    [['generate', '-m', tiny, 'hello', 'you'], /too many arguments[\s\S]*A prompt goes after -p/],
    [[...greedy, '--ids', '-p', '1 two'], /wanted token ids.*found "two"/],
    [withPrompt, /value 'many' from env 'KEXA_THREADS' is invalid/, { KEXA_THREADS: 'many' }],
  ];
  for (const [args, message, env] of cases) {
    const run = await kexa(args, env ? { env } : {});
    const isRight = run.code === 2 && run.stdout === '' && message.test(run.stderr);
    t.ok(
      isRight && run.stderr.startsWith('kexa: '),
      `${args.slice(3).join(' ') || args.join(' ')}: ${run.code} ${run.stderr}`,
    );
    t.match(run.stderr, /See kexa generate --help\./);
  }
  const unknown = await kexa(['generat']);
  t.equal(unknown.code, 2);
  t.match(unknown.stderr, /^kexa: unknown command 'generat'\n\(Did you mean generate\?\)/);
  t.equal((await kexa([])).code, 2, 'no command');
});

test('what fails exits 1 with one line', async (t) => {
  const cases: [string[], RegExp, RunOptions?][] = [
    [['generate', '-m', '/no/such/model', '-p', 'x'], /^kexa: \/no\/such\/model: no such model folder\n$/],
    [['generate', '-m', '/no/such/model', '-p', 'x', '--json'], /^kexa: \/no\/such\/model: no such model folder\n$/],
    [[...greedy, '-p', 'x', '--device', 'warp'], /^kexa: device: wanted 'warp', found cpu/],
    [[...greedy, '-f', '/no/such/file'], /^kexa: \/no\/such\/file: no such file\n$/],
    [[...greedy, '-f', tiny], /is a folder/],
    [greedy, /standard input: wanted UTF-8 text/, { input: Buffer.from([0x61, 0xff]) }],
    [['generate', '-m', modelFolder('edge'), '-p', 'x'], /tokenizer\.json: no such file/],
    [[...greedy, '--ids', '-p', '4096'], /a token id from 0 to 4095, found 4096/],
    [['score', '-m', tiny, '-p', '/'], /^kexa: text: wanted at least 2 tokens, .* found 1\n$/],
    [['score', '-m', tiny, '-p', ''], /wanted at least 2 tokens, .* found 0\n$/],
    [['tokenize', '-m', tiny, '--decode', '4096'], /4096/],
    [['inspect', tmpdir()], /config\.json: no such file/],
  ];
  for (const [args, message, options] of cases) {
    const run = await kexa(args, options);
    t.ok(
      run.code === 1 && run.stdout === '' && message.test(run.stderr),
      `${args.join(' ')}: ${run.code} ${run.stderr}`,
    );
  }
  const debug = await kexa(['inspect', '/no/such/model'], { env: { KEXA_DEBUG: '1' } });
  t.match(debug.stderr, /no such model folder\n {4}at /, 'KEXA_DEBUG adds the stack');
});

const noFullDisk = existsSync('/dev/full') ? {} : { skip: 'needs /dev/full' };

test('output that cannot be written is an error', noFullDisk, (t) => {
  const script = '"$0" "$@" > /dev/full';
  const args = ['-c', script, process.execPath, bin, 'tokenize', '-m', tiny, '-p', 'x'];
  const run = spawnSync('bash', args, { env: environment, encoding: 'utf8', timeout: timeLimit });
  t.equal(run.status, 1);
  t.match(run.stderr, /^kexa: standard output: ENOSPC/);
  t.end();
});

test('a reader that leaves early is no error', (t) => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is bash's
  const script = '"$0" "$@" | head -c 5; echo " ${PIPESTATUS[0]}"';
  const args = [bin, ...greedy, '-p', genesis, '--raw', '--ignore-eos', '-n', '400'];
  const run = spawnSync('bash', ['-c', script, process.execPath, ...args], {
    env: environment,
    encoding: 'utf8',
    timeout: timeLimit,
  });
  t.equal(run.stdout, ', the 0\n');
  t.equal(run.stderr, '');
  t.end();
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} stops the answer, keeps what was written and exits ${code}`, async (t) => {
    const args = [...greedy, '-p', genesis, '--raw', '--ignore-eos'];
    const child = start(args);
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk;
      if (text.includes(' God')) child.kill(signal);
    });
    const run = await ended(child);
    t.equal(run.code, code);
    t.ok(run.stdout.startsWith(', the God') && run.stdout.endsWith('\n'), JSON.stringify(run.stdout.slice(0, 40)));
    t.equal(run.stderr, '');
  });
}

test('SIGINT with --json gives what there is, as aborted', async (t) => {
  const child = start([...greedy, '-p', genesis, '--raw', '--ignore-eos', '--json']);
  setTimeout(() => child.kill('SIGINT'), 700).unref();
  const run = await ended(child);
  t.equal(run.code, 130);
  // On a slow machine the signal may come while the model is loading.
  if (run.stdout !== '') t.equal((JSON.parse(run.stdout) as GenerationResult).finishReason, 'aborted');
});

test('a second SIGINT quits at once', async (t) => {
  const module = new URL('../dist/cli/interrupt.js', import.meta.url).href;
  const script = `
    const { Interrupt } = await import('${module}');
    const interrupt = new Interrupt();
    interrupt.signal.addEventListener('abort', () => console.log('stopping'));
    setInterval(() => {}, 1000);
    console.log('started');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { timeout: timeLimit });
  child.stdout.on('data', () => child.kill('SIGINT')); // once for each of the two lines
  const run = await ended(child);
  t.deepEqual(run, { code: 130, stdout: 'started\nstopping\n', stderr: '' });
});

test('chat answers each line of a pipe, and runs its commands', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'chat.json');
  const chat = ['chat', '-m', tiny, '--temp', '0', '-n', '12', '--no-think'];
  const input = [
    '/system Be short.',
    'Insert Fields',
    'first line \\',
    'second line',
    '"""',
    'third',
    'line"""',
    '/undo',
    '/history',
    `/save ${file}`,
    '/clear',
    '/history',
    `/load ${file}`,
    '/retry',
    '//slash',
    '/nonsense',
    '/help',
    '/exit',
    'never asked',
  ].join('\n');
  const run = await kexa(chat, { input });
  t.equal(run.code, 0);
  t.notOk(run.stdout.includes('> '), 'no prompt marks');
  t.notOk(/Taken back|Saved|system:/.test(run.stdout), 'stdout holds only the answers');
  for (const said of [
    'The system message is set.',
    'Taken back: third line',
    'user: first line \nsecond line',
    `Saved to ${file}.`,
    'The conversation is cleared.',
    'system: Be short.',
    `Loaded 5 messages from ${file}.`,
    'There is no /nonsense.',
    '/retry',
  ]) {
    t.ok(run.stderr.includes(said), said);
  }
  const saved = JSON.parse(readFileSync(file, 'utf8')) as { role: string; content: string }[];
  t.deepEqual(
    saved.map(({ role }) => role),
    ['system', 'user', 'assistant', 'user', 'assistant'],
  );
  t.ok(run.stdout.startsWith(`${saved[2]!.content}\n${saved[4]!.content}\n`), 'answers are what was saved');
  t.ok(run.stdout.split(saved[4]!.content).length >= 3, '/retry gives the same greedy answer');

  const alone = await kexa([...greedy, '-n', '12', '--no-think', '--system', 'Be short.', '-p', 'Insert Fields']);
  t.ok(run.stdout.startsWith(alone.stdout), 'the first answer is what generate gives');
});

test('chat computes what was said once', async (t) => {
  const run = await kexa(['chat', '-m', tiny, '--temp', '0', '-n', '8', '--no-think', '--timings'], {
    input: 'a\nb\n',
  });
  t.equal(run.code, 0);
  const [first, second] = run.stderr.split('\n');
  t.match(first!, /^prompt \d+ tokens in/);
  t.match(second!, /^prompt \d+ tokens \(\d+ cached\) in/);
});

test('an error in a piped chat ends it with 1', async (t) => {
  const run = await kexa(['chat', '-m', tiny, '-c', '8'], { input: 'hello\nhello\n' });
  t.equal(run.code, 1);
  t.match(run.stderr, /^kexa: prompt: \d+ tokens/);
});

/** A program under a pseudo-terminal, by util-linux's `script`. */
class Terminal {
  readonly #child: ReturnType<typeof spawn>;
  #output = '';
  #seen = 0;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const words = [process.execPath, bin, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
    const all = { ...environment, TERM: 'xterm', ...env };
    this.#child = spawn('script', ['-qec', words.join(' '), '/dev/null'], { env: all, timeout: timeLimit });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
  }

  get output(): string {
    return this.#output;
  }

  type(keys: string): void {
    this.#child.stdin!.write(keys);
  }

  /** Waits until a text has been shown since the last call. */
  async shows(text: string): Promise<void> {
    const until = Date.now() + 20_000;
    for (;;) {
      const at = this.#output.indexOf(text, this.#seen);
      if (at !== -1) {
        this.#seen = at + text.length;
        return;
      }
      if (Date.now() > until) throw new Error(`not shown: ${text}\n${JSON.stringify(this.#output.slice(this.#seen))}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async ends(): Promise<number> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const [code] = (await once(this.#child, 'exit')) as [number];
    return code;
  }
}

function hasScript(): boolean {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
}

const noTerminal = hasScript() ? {} : { skip: 'needs util-linux script for a pseudo-terminal' };

test('chat on a terminal: answers, history keys, Ctrl-C', noTerminal, async (t) => {
  const history = join(temporaryFolder(t), 'history');
  const args = ['chat', '-m', tiny, '--temp', '0', '--ignore-eos', '--no-think'];
  const terminal = new Terminal(args, { KEXA_HISTORY: history });
  await terminal.shows('/help helps');
  await terminal.shows('> ');
  terminal.type('Insert Fields\r');
  await terminal.shows('Select the');
  terminal.type('\x03');
  await terminal.shows('> ');
  terminal.type('/history\r');
  await terminal.shows('user: Insert Fields');
  await terminal.shows('assistant: Select the');
  await terminal.shows('> ');
  terminal.type('half a line\x03');
  await terminal.shows('> ');
  terminal.type('\x1b[A\r'); // up: /history again
  await terminal.shows('user: Insert Fields');
  await terminal.shows('> ');
  terminal.type('\x03');
  await terminal.shows('(Ctrl-C again or Ctrl-D leaves)');
  terminal.type('\x03');
  t.equal(await terminal.ends(), 0);
  t.equal(readFileSync(history, 'utf8'), 'Insert Fields\n/history\n');

  const next = new Terminal(args, { KEXA_HISTORY: history });
  await next.shows('> ');
  next.type('\x1b[A\x1b[A'); // lines of the chat before
  await next.shows('Insert Fields');
  next.type('\x03');
  await next.shows('> ');
  next.type('\x04');
  t.equal(await next.ends(), 0, 'Ctrl-D leaves');
});

test('generate on a terminal: no prompt is wrong usage, Ctrl-C exits 130', noTerminal, async (t) => {
  const without = new Terminal(['generate', '-m', tiny]);
  await without.shows('no prompt: give one with -p TEXT or -f FILE, or pipe it in');
  t.equal(await without.ends(), 2);

  const endless = new Terminal([...greedy, '--raw', '--ignore-eos', '-p', genesis]);
  await endless.shows('the God of');
  endless.type('\x03');
  t.equal(await endless.ends(), 130);
});

test('thinking is dimmed on a terminal, and plain with NO_COLOR', noTerminal, async (t) => {
  const args = [...greedy, '--think', '-p', 'How do I insert a table?', '-n', '12'];
  const colored = new Terminal(args);
  t.equal(await colored.ends(), 0);
  t.ok(colored.output.includes('\x1b[2m'), 'dimmed');
  t.ok(colored.output.includes('\r\x1b[K'), 'the progress bar has been there, and is gone');
  const plain = new Terminal(args, { NO_COLOR: '1' });
  t.equal(await plain.ends(), 0);
  t.notOk(plain.output.includes('\x1b[2m'), 'plain');
  t.match(plain.output, /The user asks/);
});

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
  const started = Date.now();
  const run = await kexa(['doctor', '--json']);
  t.equal(run.code, 0);
  t.ok(Date.now() - started < 30_000);
  const report = JSON.parse(run.stdout);
  t.equal(Object.keys(report).join(' '), 'ok kexa node os cpu memory native devices dawn');
  t.ok(report.native.loads && existsSync(report.native.path), report.native.path);
  t.equal(report.devices.at(-1).name, 'cpu');
  t.ok(Array.isArray(report.dawn.adapters));
  t.equal(report.dawn.version, '0.6.2');
  const text = await kexa(['doctor']);
  t.match(text.stdout, /kexa can run models here\.\n$/);
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
  const run = spawnSync(process.execPath, args, { env, encoding: 'utf8', timeout: timeLimit });
  t.equal(run.status, 0);
  t.equal(JSON.parse(run.stdout).dawn.error, 'crashed (SIGSEGV): bad driver');
  t.end();
});

const flags: Record<string, string> = {
  generate: `-p --prompt -f --file -n --max-tokens --temp --top-k --top-p --min-p --repeat-penalty --repeat-last-n
    --presence-penalty --frequency-penalty -s --seed --system --raw --think --no-think --hide-thinking --stop --logprobs
    --ignore-eos -m --model --device --list-devices -c --ctx-size -b --batch-size -t --threads --cache-type --weights
    --mtp --timings --json --ids`,
  chat: '-m --model -n --temp --seed --system --think --no-think --hide-thinking --stop --mtp --timings --ctx-size',
  score: '-m --model -p --prompt -f --file --ids --json --ctx-size --threads',
  tokenize: '-m --model -p --prompt -f --file --json --ids --decode --template --system --think --no-think',
  inspect: '-m --model --tensors --memory -c --ctx-size --cache-type --weights --json',
  doctor: '--json',
};

test('the help of every command, and docs/cli.md, name every flag', async (t) => {
  const docs = readFileSync(join(root, 'docs/cli.md'), 'utf8');
  const program = buildProgram();
  t.equal(program.commands.map((command) => command.name()).join(' '), Object.keys(flags).join(' '));
  for (const command of program.commands) {
    const help = await kexa([command.name(), '--help']);
    t.deepEqual([help.code, help.stderr], [0, '']);
    const words = new Set(help.stdout.split(/[\s,]+/));
    const wanted = [...flags[command.name()]!.split(/\s+/), ...command.options.map(({ long }) => long!)];
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
  t.equal((await kexa(['help', 'score'])).stdout, (await kexa(['score', '--help'])).stdout);
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

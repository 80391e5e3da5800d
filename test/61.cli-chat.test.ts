/** The command `kexa chat`, from a pipe and on a terminal. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { greedy, kexa, noTerminal, Terminal, temporaryFolder, tiny } from './support/cli.js';

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

test('chat loads and saves whole conversations, and nothing of them is lost', async (t) => {
  const folder = temporaryFolder(t);
  const [file, copy, bad] = ['chat.json', 'copy.json', 'bad.json'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const call = { id: 'call_0', type: 'function', function: { name: 'f', arguments: '{"n": 12345678901234567890}' } };
  const messages = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', content: 'r', tool_call_id: 'call_0' },
    { role: 'system', content: 'Be short.' },
    { role: 'user', content: [{ type: 'text', text: 'b' }] },
    { role: 'assistant', content: 'c', reasoning: 'why' },
  ];
  writeFileSync(file, JSON.stringify(messages));
  writeFileSync(bad, JSON.stringify([messages[0], { role: 'user', content: [{ type: 'image_url' }] }]));
  const chat = ['chat', '-m', tiny, '--temp', '0', '-n', '4', '--no-think'];
  const run = await kexa(chat, {
    input: [`/load ${file}`, `/save ${copy}`, '/history', '/system', '/retry', '/exit'].join('\n'),
  });
  t.equal(run.code, 0, run.stderr);
  t.ok(run.stderr.includes('Loaded 6 messages'), run.stderr);
  t.ok(run.stderr.includes('There is no system message.'), 'the one in the middle is not the one at the start');
  t.ok(run.stderr.includes('tool: r\n') && run.stderr.includes('user: b\n'), 'history shows all');
  t.deepEqual(JSON.parse(readFileSync(copy, 'utf8')), messages, 'what is saved is what was loaded');
  t.ok(run.stdout.trim() !== '', 'and the last question is answered again');
  const refused = await kexa(chat, { input: `/load ${bad}\n` });
  t.equal(refused.code, 1);
  t.ok(refused.stderr.includes(bad) && refused.stderr.includes('messages[1].content[0].type'), refused.stderr);
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

  const hasty = new Terminal(args);
  await hasty.shows('> ');
  hasty.type('/history\r\x03\x03');
  t.equal(await hasty.ends(), 0, 'Ctrl-C twice leaves, however fast it is typed');
});

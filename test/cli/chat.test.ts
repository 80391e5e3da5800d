/** The command `kexa chat`, from a pipe and on a terminal. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { barLine } from '../../lib/cli/progress-bar.js';
import { widthOf, wrapped } from '../../lib/cli/text-width.js';
import { bin, greedy, kexa, noTerminal, Terminal, temporaryFolder, tiny } from '../support/cli.js';

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
  const [first, second] = run.stderr.split('\n').filter((line) => line.startsWith('prompt'));
  t.match(first!, /^prompt \d+ tokens in/);
  t.match(second!, /^prompt \d+ tokens \(\d+ cached\) in/);
});

test('an error in a piped chat ends it with 1', async (t) => {
  const run = await kexa(['chat', '-m', tiny, '-c', '8'], { input: 'hello\nhello\n' });
  t.equal(run.code, 1);
  t.match(run.stderr, /^kexa: prompt: (more than )?\d+ tokens/);
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

test('a text that is pasted is one message, and may be edited before', noTerminal, async (t) => {
  const file = join(temporaryFolder(t), 'chat.json');
  const terminal = new Terminal(['chat', '-m', tiny, '--temp', '0', '-n', '2', '--no-think']);
  await terminal.shows('\x1b[?2004h');
  await terminal.shows('> ');
  terminal.type('Say: \x1b[200~first line\r\n\r\tthird\x03 line\n\x1b[201~');
  await terminal.shows('\u240a\u240a\u2409third line\u240a');
  terminal.type('!\r');
  await terminal.shows('\x1b[?2004l');
  await terminal.shows('> ');
  terminal.type(`/save ${file}\r`);
  await terminal.shows('Saved to');
  await terminal.shows('> ');
  terminal.type('\x1b[200~one\ntwo\n\x1b[201~\r');
  await terminal.shows('> ');
  terminal.type(`/save ${file}\r`);
  await terminal.shows('Saved to');
  terminal.type('\x04');
  t.equal(await terminal.ends(), 0);
  const saved = JSON.parse(readFileSync(file, 'utf8')) as { role: string; content: string }[];
  t.deepEqual(
    saved.filter(({ role }) => role === 'user').map(({ content }) => content),
    ['Say: first line\n\n\tthird line\n!', 'one\ntwo'],
    'line ends and tabs are what they were, and no character of it was a key',
  );
});

test('Ctrl-Z at the prompt, then fg: the chat goes on', noTerminal, async (t) => {
  const shell = new Terminal(['--norc', '--noprofile', '-i'], {}, ['bash']);
  shell.type("PS1='shell''# '\r");
  await shell.shows('shell# ');
  shell.type(`'${process.execPath}' '${bin}' chat -m '${tiny}' --temp 0 -n 4 --no-think\r`);
  await shell.shows('/help helps');
  await shell.shows('> ');
  shell.type('/system Be');
  await shell.shows('/system Be');
  shell.type('\x1a');
  await shell.shows('shell# ');
  shell.type('fg\r');
  await shell.shows('/system Be');
  shell.type(' short.\r');
  await shell.shows('The system message is set.');
  await shell.shows('> ');
  shell.type('/system\r');
  await shell.shows('Be short.');
  shell.type('\x04');
  await shell.shows('shell# ');
  shell.type('echo ended with $?\r');
  await shell.shows('ended with 0');
  shell.type('exit\r');
  t.equal(await shell.ends(), 0);
});

test('lines are kept for later chats, by several at a time, unless none are wanted', noTerminal, async (t) => {
  const state = temporaryFolder(t);
  const file = join(state, 'kexa', 'history');
  const args = ['chat', '-m', tiny];
  const env = { KEXA_HISTORY: '', XDG_STATE_HOME: state };
  const none = new Terminal([...args, '--no-history'], env);
  await none.shows('> ');
  none.type('/timings on\r\x04');
  t.equal(await none.ends(), 0);
  t.notOk(existsSync(file), '--no-history keeps none');
  const two = [new Terminal(args, env), new Terminal(args, env)];
  for (const each of two) await each.shows('> ');
  for (let i = 0; i < 2; i++)
    for (const [j, each] of two.entries()) {
      each.type(`/think ${j === 0 ? 'on' : 'off'}${i}\r`);
      await each.shows('Say /think on');
      await each.shows('> ');
    }
  for (const each of two) {
    each.type('\x04');
    t.equal(await each.ends(), 0);
  }
  t.equal(readFileSync(file, 'utf8'), '/think on0\n/think off0\n/think on1\n/think off1\n', 'both have added theirs');
  t.equal(statSync(file).mode & 0o777, 0o600, 'for nobody else to read');
  writeFileSync(file, Array.from({ length: 2001 }, (_, i) => `line ${i}\n`).join(''));
  const next = new Terminal(args, env);
  await next.shows('> ');
  next.type('\x1b[A');
  await next.shows('line 2000');
  next.type('\x03\x04');
  t.equal(await next.ends(), 0);
  t.equal(readFileSync(file, 'utf8').split('\n').length, 1001, 'and a long file is cut to the last thousand');
});

test('names of files are read as a shell reads them, and other files are not overwritten', async (t) => {
  const home = temporaryFolder(t);
  const other = join(home, 'notes.txt');
  writeFileSync(other, 'important');
  const input = ['/save "~/my chat.json"', `/save ${other}`, "/save '~/my chat.json'", '/load ~/my chat.json', '/exit'];
  const run = await kexa(['chat', '-m', tiny, '--system', 'Be short.'], {
    input: input.slice(0, 1).join('\n'),
    env: { HOME: home },
  });
  t.equal(run.code, 0, run.stderr);
  t.ok(existsSync(join(home, 'my chat.json')), 'quotes are no part of the name, ~ is the home folder');
  const again = await kexa(['chat', '-m', tiny], { input: input.slice(2).join('\n'), env: { HOME: home } });
  t.match(again.stderr, /Saved to .*Loaded 0 messages from/s, 'a conversation is overwritten by another');
  const refused = await kexa(['chat', '-m', tiny], { input: input[1]!, env: { HOME: home } });
  t.equal(refused.code, 1);
  t.match(refused.stderr, /notes\.txt: there is a file that holds no conversation/);
  t.equal(readFileSync(other, 'utf8'), 'important');
});

test('an answer that -n cuts is told, and a full context says what makes room', async (t) => {
  const cut = await kexa(['chat', '-m', tiny, '--temp', '0', '-n', '2', '--no-think'], { input: 'Insert Fields\n' });
  t.match(cut.stderr, /\(the answer is cut after the 2 tokens that -n allows\)/);
  const thought = await kexa([...greedy, '-n', '2', '-p', 'Insert Fields', '--think']);
  t.match(thought.stderr, /all of the 2 tokens that -n allows went into thinking/);
  const full = await kexa(['chat', '-m', tiny, '-c', '32', '--temp', '0', '--ignore-eos', '--no-think'], {
    input: 'a\n',
  });
  t.match(full.stderr, /the context of 32 tokens is full\. \/undo .* \/clear .* --ctx-size/);
});

test('Tab completes commands', noTerminal, async (t) => {
  const terminal = new Terminal(['chat', '-m', tiny]);
  await terminal.shows('> ');
  terminal.type('/his\t');
  await terminal.shows('/history');
  terminal.type('\r');
  await terminal.shows('Nothing was said yet.');
  terminal.type('\x04');
  t.equal(await terminal.ends(), 0);
});

test('wide letters take two columns, and a bar keeps its percentage at 40', (t) => {
  t.deepEqual(['abc', '한글', 'ｆｕｌｌ', 'e\u0301', '\u1112\u1161\u11ab', '🙂'].map(widthOf), [3, 4, 8, 1, 2, 2]);
  for (const columns of [10, 20, 39, 79, 200])
    for (const title of ['loading tiny', 'loading 한국어로 된 아주 긴 모델 폴더 이름', 'x'.repeat(90)])
      for (const whole of ['21 MiB', '116,483,200 tokens']) {
        const line = barLine(title, 0.427, whole, columns);
        t.ok(widthOf(line) <= columns && (columns < 20 || line.includes('42%')), `${columns}: ${line}`);
      }
  const wide = barLine('loading tiny', 0.5, '21 MiB', 79);
  t.equal(wide, `loading tiny [${'#'.repeat(15)}${'.'.repeat(15)}] 50% of 21 MiB`);
  const text =
    '  /save FILE  write the conversation to a file\n\nA long line of a footer that is broken.\nIts next one.';
  t.equal(
    wrapped(text, 30),
    '  /save FILE  write the\n              conversation to\n              a file\n\nA long line of a footer that\nis broken. Its next one.',
  );
  t.equal(wrapped(text, 80), text, 'what fits stays as it is');
  t.end();
});

/** `kexa completion`: scripts that complete the command line. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { completionScript, shells } from '../../lib/cli/completion.js';
import { buildProgram } from '../../lib/cli/program.js';
import { kexa, temporaryFolder } from '../support/cli.js';

const hasShell = (shell: string) => spawnSync(shell, ['-c', 'true']).status === 0;
const without = (shell: string) => (hasShell(shell) ? {} : { skip: `needs ${shell}` });

test('bash completes commands, flags and their values', without('bash'), async (t) => {
  const { stdout: script, code } = await kexa(['completion', 'bash']);
  t.equal(code, 0);
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'models'));
  writeFileSync(join(folder, 'more.txt'), '');
  writeFileSync(join(folder, 'kexa.bash'), script);
  /** The words that bash offers for the last word of a line. */
  const offers = (...words: string[]): string[] => {
    const line = `
      compopt() { :; } # works in a completion alone
      source kexa.bash
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
      _kexa; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const run = spawnSync('bash', ['--norc', '-c', line], { cwd: folder, encoding: 'utf8' });
    t.equal(run.stderr, '');
    return run.stdout.trim() === '' ? [] : run.stdout.trim().split('\n').sort();
  };
  t.deepEqual(offers('kexa', 'ge'), ['generate']);
  t.deepEqual(offers('kexa', 'batch', ''), ['run', 'status']);
  t.deepEqual(offers('kexa', 'generate', '--top'), ['--top-k', '--top-p']);
  t.deepEqual(offers('kexa', 'batch', 'run', '--skip'), ['--skip-invalid']);
  t.deepEqual(offers('kexa', 'generate', '--cache-type', 'q'), ['q4', 'q8']);
  t.deepEqual(offers('kexa', 'generate', '-m', 'mo'), ['models', 'more.txt']);
  t.deepEqual(offers('kexa', 'pull', '--to', 'mo'), ['models']);
  t.deepEqual(offers('kexa', 'generate', '--temp', ''), []);
  t.deepEqual(offers('kexa', 'completion', ''), [...shells].sort());
  const program = await buildProgram();
  const commands = program.commands.map((command) => command.name());
  t.deepEqual(offers('kexa', ''), commands.sort(), 'every command');
});

test('every shell has every command and flag', async (t) => {
  const program = await buildProgram();
  for (const shell of shells) {
    const script = completionScript(program, shell);
    const lacking: string[] = [];
    for (const command of program.commands)
      for (const { long, hidden } of command.options) {
        const spelled = shell === 'fish' ? `-l ${long?.slice(2)} ` : long!;
        if (!hidden && !script.includes(spelled)) lacking.push(`${command.name()} ${long}`);
      }
    t.deepEqual(lacking, [], shell);
  }
  const wrong = await kexa(['completion', 'csh']);
  t.deepEqual([wrong.code, /Allowed choices are bash, zsh, fish/.test(wrong.stderr)], [2, true]);
});

test('zsh completes them', without('zsh'), async (t) => {
  const script = completionScript(await buildProgram(), 'zsh');
  const lines = ['kexa batch', 'kexa batch run', 'kexa generate --cache-type', 'kexa generate -m', 'kexa pull --to'];
  // These functions of zsh work in a completion alone.
  const program = `
    compdef() { : }; compadd() { shift; print -r -- add: $* }; _files() { print -r -- files $* }
    _describe() { local name=\${@[-1]}; print -r -- describe: \${(P)name} }
    ${script}
    for line in ${lines.map((line) => `'${line} '`).join(' ')}; do words=(\${=line} ''); CURRENT=$#words; _kexa; done`;
  const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', program], { encoding: 'utf8' });
  t.equal(stderr, '');
  const [batch, run, types, model, to] = stdout.split('\n');
  t.match(batch!, /^describe: run:.* status:/);
  t.equal(run, 'files');
  t.match(types!, /^add: auto f32 .*q4$/);
  t.deepEqual([model, to], ['files', 'files -/']);
});

test('fish completes them', without('fish'), async (t) => {
  const script = completionScript(await buildProgram(), 'fish');
  const offers = (line: string) => {
    const program = `${script}\ncomplete -C '${line}'`;
    const { stdout } = spawnSync('fish', ['--no-config', '-c', program], { encoding: 'utf8' });
    return stdout
      .trimEnd()
      .split('\n')
      .map((found) => found.split('\t')[0]);
  };
  t.deepEqual(offers('kexa batch '), ['run', 'status']);
  t.deepEqual(offers('kexa batch run --skip'), ['--skip-invalid']);
  t.deepEqual(offers('kexa generate --cache-type q'), ['q4', 'q8']);
});

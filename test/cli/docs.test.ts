/**
 * Runs the examples of docs/cli.md whose output does not depend on the machine, and compares their output with the
 * page.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import { bin, environment, root, temporaryFolder } from '../support/cli.js';
import { hangLimit } from '../support/hang-limit.js';

/** The commands whose output depends on the machine, on time, or in its last digits on the instruction set. */
const variable = /kexa (doctor|bench|chat|generate|score .*--json)|jq|--verdict|^cat /;
/** The commands with plans for a CPU. Its working buffers grow with its cores, and the page has those of two cores. */
const ofTwoCores = /^kexa inspect (?!.*--device)/;

interface Example {
  command: string;
  /** `...` stands for any lines. */
  output: string[];
}

/** The indented blocks that begin with a prompt; a block may hold several commands. */
function examplesOf(page: string): Example[] {
  const examples: Example[] = [];
  let isContinued = false;
  let isOpen = false;
  const lines = page.split('\n');
  for (const [i, line] of lines.entries()) {
    const text = line.slice(4);
    // A block goes on after an empty line if an indented one follows.
    const isInside = line.startsWith('    ') || (line === '' && lines[i + 1]?.startsWith('    '));
    if (!isInside) isOpen = false;
    else if (isContinued && isOpen) examples.at(-1)!.command += `\n${text}`;
    else if (text.startsWith('$ ')) {
      examples.push({ command: text.slice(2), output: [] });
      isOpen = true;
    } else if (isOpen) examples.at(-1)!.output.push(text);
    isContinued = isOpen && line.endsWith('\\') && examples.at(-1)!.output.length === 0;
  }
  return examples;
}

test('docs/cli.md shows what the commands print', (t) => {
  const examples = examplesOf(readFileSync(join(root, 'docs/cli.md'), 'utf8'));
  const fixed = examples.filter(
    ({ command }) => !variable.test(command) && (availableParallelism() === 2 || !ofTwoCores.test(command)),
  );
  t.ok(fixed.length >= 8, `${fixed.length} of ${examples.length} examples are the same everywhere`);
  // The commands run in a copy named `kexa`, so that files that they write are removed.
  const folder = join(temporaryFolder(t), 'kexa');
  mkdirSync(folder);
  symlinkSync(join(root, 'models'), join(folder, 'models'));
  const shell = `kexa() { "${process.execPath}" "${bin}" "$@"; }`;
  for (const { command, output } of fixed) {
    const run = spawnSync('bash', ['-c', `${shell}\n${command}`], {
      cwd: folder,
      env: environment,
      encoding: 'utf8',
      timeout: hangLimit,
    });
    const printed = `${run.stdout}${run.stderr}`.replaceAll(folder, '/home/you/kexa').trimEnd();
    const elided = output.indexOf('...');
    if (elided < 0) t.equal(printed, output.join('\n').trimEnd(), command);
    else {
      const [before, after] = [output.slice(0, elided), output.slice(elided + 1)];
      const lines = printed.split('\n');
      t.deepEqual(lines.slice(0, before.length), before, command);
      t.deepEqual(lines.slice(lines.length - after.length), after, command);
    }
  }
  t.end();
});

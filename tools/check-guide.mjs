// Checks CONTRIBUTING's table of what to run: every folder of native/ and lib/ is in it, every path in it exists, and
// every word after `npm test --` chooses a test file. Also checks that tools/README.md has every file of tools/.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const scripts = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts;
const testFiles = readdirSync(join(root, 'test'), { recursive: true })
  .map((file) => `/${file.replaceAll('\\', '/')}`)
  .filter((file) => file.endsWith('.test.ts') && !file.startsWith('/node_modules/'));
const guide = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');
const section = guide.split('\n## ').find((text) => text.startsWith('If you touch X'));
if (section === undefined) throw new Error('CONTRIBUTING.md: wanted a section "If you touch X, run Y"');
const rows = section
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .slice(2)
  .map((line) => line.slice(1, -1).split('|'));
const problems = [];

const touched = rows.flatMap(([paths]) => namesIn(paths));
for (const path of touched)
  if (!existsSync(join(root, path))) problems.push(`CONTRIBUTING.md: ${path}: does not exist`);
for (const top of ['native', 'lib'])
  for (const entry of readdirSync(join(root, top), { withFileTypes: true }))
    if (entry.isDirectory() && !touched.includes(`${top}/${entry.name}`))
      problems.push(`CONTRIBUTING.md: ${top}/${entry.name}: no row says what to run`);
for (const command of rows.flatMap(([, , commands]) => namesIn(commands))) checkCommand(command);

const listed = readFileSync(join(root, 'tools/README.md'), 'utf8');
for (const file of readdirSync(join(root, 'tools')))
  if (file !== 'README.md' && !listed.includes(`](${file})`)) problems.push(`tools/README.md does not list ${file}`);

for (const problem of problems) console.error(problem);
console.log(`${rows.length} rows, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);

function namesIn(cell) {
  return Array.from(cell.matchAll(/`([^`]+)`/g), ([, name]) => name);
}

function checkCommand(command) {
  const [program, first, second, ...words] = command.split(' ');
  if (program === 'npm' && first === 'test')
    for (const word of words)
      if (!testFiles.some((file) => file.includes(`/${word}`)))
        problems.push(`CONTRIBUTING.md: ${command}: no test file begins with ${word}`);
  if (program === 'npm' && first === 'run' && !(second in scripts))
    problems.push(`CONTRIBUTING.md: ${command}: no such script`);
  if (program === 'node' && !existsSync(join(root, first)))
    problems.push(`CONTRIBUTING.md: ${command}: ${first} does not exist`);
}

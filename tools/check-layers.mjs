// Checks what the style guide says of structure: a native file includes only from folders to its left, and no source file is longer than 600 lines.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const order = [
  'base',
  'files',
  'text',
  'quant',
  'model',
  'plan',
  'gpu',
  'kernels',
  'reference',
  'decode',
  'engine',
  'addon',
  'checks',
];
const lineLimit = 600;
const problems = [];
let count = 0;

for (const folder of ['native', 'lib', 'bin', 'test', 'tools']) {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true }).filter(
    (entry) => !entry.parentPath.includes('node_modules'),
  );
  for (const entry of entries) {
    if (!entry.isFile() || !/\.(cc|h|ts|js|mjs|wgsl)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name).slice(root.length + 1);
    const text = readFileSync(join(root, path), 'utf8');
    count++;
    const lines = text.split('\n').length - 1;
    if (lines > lineLimit) problems.push(`${path}: ${lines} lines, the limit is ${lineLimit}`);
    if (folder === 'native') checkIncludes(path, text);
  }
}

function checkIncludes(path, text) {
  const own = order.indexOf(path.split('/')[1]);
  for (const [, folder] of text.matchAll(/#include "(\w+)\//g)) {
    const other = order.indexOf(folder);
    if (other < 0) problems.push(`${path}: includes from the unknown folder ${folder}`);
    else if (own >= 0 && other > own) problems.push(`${path}: includes from ${folder}, which is to its right`);
  }
}

for (const problem of problems) console.error(problem);
console.log(`${count} files, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);

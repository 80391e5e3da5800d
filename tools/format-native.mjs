// Checks that the C++ in native/ is formatted as .clang-format says, by clang-format 19 from npm, and that the includes
// of a paragraph are in the order of the alphabet, which that package leaves as they are.
// `node tools/format-native.mjs --write` does both.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import initialize, { format } from '@wasm-fmt/clang-format';
import { root } from './setup.mjs';

const isWriting = process.argv.includes('--write');
const style = readFileSync(join(root, '.clang-format'), 'utf8');
await initialize();
const files = readdirSync(join(root, 'native'), { recursive: true }).filter((file) => /\.(cc|h)$/.test(file));
let differing = 0;
for (const file of files.sort()) {
  const path = join(root, 'native', file);
  const text = readFileSync(path, 'utf8');
  const formatted = format(withSortedIncludes(text), file, style);
  if (formatted === text) continue;
  differing++;
  if (isWriting) writeFileSync(path, formatted);
  else console.error(`native/${file}: line ${firstDifference(text, formatted)} is formatted otherwise`);
}
console.log(
  `${files.length} files, ${differing} ${isWriting ? 'formatted' : 'to format (node tools/format-native.mjs --write)'}`,
);
process.exit(differing > 0 && !isWriting ? 1 : 0);

/** Sorts each run of lines that include headers of ours. */
function withSortedIncludes(text) {
  return text.replace(/(?:^#include "[^"]+\.h"\n){2,}/gm, (run) => `${run.trimEnd().split('\n').sort().join('\n')}\n`);
}

function firstDifference(text, formatted) {
  const lines = formatted.split('\n');
  return text.split('\n').findIndex((line, i) => line !== lines[i]) + 1;
}

// Checks the structure:
// - code imports only from its left;
// - no files of lib import each other in a circle;
// - only lib reads the environment;
// - no source file is longer than 600 lines, and no function of native or lib longer than 80;
// - no function of native has more than 7 parameters.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { root } from './setup.mjs';

/**
 * The folders of native/, in the order of flow: each includes from itself and from its left. kexa.h is part of engine/.
 */
const native = [
  'base',
  'files',
  'text',
  'quant',
  'model',
  'gpu',
  'plan',
  'cache',
  'device',
  'cpu',
  'kernels',
  'split',
  'decode',
  'engine',
  'addon',
  'checks',
];
/** The wrapper of Dawn serves any program that computes on a GPU, so it includes no more than these. */
const gpuIncludes = ['base', 'files', 'gpu'];
/** The folders of native/kernels/, in the order of flow. The files beside them include from all. */
const kernels = ['source', 'buffers', 'matmul', 'attention', 'ffn', 'choose'];
/**
 * The files and folders of lib/, in the order of flow. It holds for imports of types as well. The CLI uses the public
 * interface.
 */
const lib = [
  'printable',
  'environment',
  'errors',
  'package-root',
  'block-types',
  'description',
  'options',
  'limits',
  'random',
  'warnings',
  'types',
  'sampling-options',
  'native',
  'abort',
  'files',
  'hub',
  'text',
  'device',
  'plan',
  'quantize',
  'model',
  'bench',
  'index',
  'batch',
  'serve',
  'cli',
];
const lineLimit = 600;
const functionLimit = 80;
const parameterLimit = 7;
const problems = [];
/** The files of lib that each file of lib imports. */
const imports = new Map();
let count = 0;

for (const folder of ['native', 'lib', 'bin', 'test', 'tools']) {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true }).filter(
    (entry) => !entry.parentPath.includes('node_modules'),
  );
  for (const entry of entries) {
    if (!entry.isFile() || !/\.(cc|h|tsx?|js|mjs|wgsl)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name).slice(root.length + 1);
    const text = readFileSync(join(root, path), 'utf8');
    count++;
    const lines = text.split('\n').length - 1;
    if (lines > lineLimit) problems.push(`${path}: ${lines} lines, the limit is ${lineLimit}`);
    if (folder === 'native' || folder === 'lib') checkFunctions(path, text);
    if (folder === 'native' && /\.(cc|h)$/.test(path)) checkParameters(path, text);
    if (folder === 'native') checkIncludes(path, text);
    if (folder === 'native' && /\bgetenv\b/.test(text))
      problems.push(`${path}: reads the environment; lib/ hands options down`);
    if (folder === 'lib') checkImports(path, text);
  }
}

/**
 * Checks the lengths of functions and methods. The formatters make it simple: a function's first line and its last one,
 * which is a brace alone, are indented alike, and no line between them is indented less.
 */
function checkFunctions(path, text) {
  if (path.endsWith('.wgsl')) return;
  // Lines of raw strings may begin anywhere.
  const lines = text.replace(/R"(\w*)\([\s\S]*?\)\1"/g, (raw) => raw.replaceAll('\n', '\n      ')).split('\n');
  for (const indent of ['', '  ']) {
    // Directives of the preprocessor, unlike private methods, begin with a # and belong to no function.
    const begins = new RegExp(`^${indent}[^\\s/*)}\\]${path.endsWith('.ts') ? '' : '#'}]`);
    let first = 0;
    for (const [i, line] of lines.entries()) {
      if (begins.test(line)) first = i;
      const length = i - first + 1;
      const isType = /\b(class|struct|interface|enum|namespace|union)\b/.test(lines[first]);
      if (line === `${indent}}` && !isType && length > functionLimit)
        problems.push(`${path}:${first + 1}: a function of ${length} lines, the limit is ${functionLimit}`);
    }
  }
}

/** Checks how many parameters native functions have, and how many arguments calls at the beginning of a line. */
function checkParameters(path, text) {
  const code = text.replace(/\/\/.*$/gm, '');
  for (const call of code.matchAll(/^ {0,2}[\w:<>,&*~[\] ]*?([\w~]+)\(/gm)) {
    if (/^[A-Z_]+$/.test(call[1])) continue; // a macro
    let depth = 0;
    let templates = 0;
    let count = 1;
    for (let i = call.index + call[0].length - 1; i < code.length; i++) {
      const sign = code[i];
      if ('([{'.includes(sign)) depth++;
      else if (')]}'.includes(sign) && --depth === 0) break;
      else if (depth === 1 && sign === '<') templates++;
      else if (depth === 1 && sign === '>' && code[i - 1] !== '-') templates--;
      else if (depth === 1 && sign === ',' && templates === 0) count++;
    }
    const line = code.slice(0, call.index).split('\n').length;
    if (count > parameterLimit)
      problems.push(`${path}:${line}: ${call[1]}() with ${count} parameters, the limit is ${parameterLimit}`);
  }
}

/** Checks the `#include "folder/..."` lines of a native file. */
function checkIncludes(path, text) {
  const [, folder, inner] = path.split('/');
  for (const [, file] of text.matchAll(/#include "([\w/.-]+)"/g)) {
    if (file === 'kernel_texts.h') continue; // generated from the .wgsl files
    const [to, toInner] = file.split('/');
    checkFlow(path, native, folder === 'kexa.h' ? 'engine' : folder, to === 'kexa.h' ? 'engine' : to);
    if (folder === 'gpu' && !gpuIncludes.includes(to)) problems.push(`${path}: includes ${file}; gpu/ is Dawn only`);
    if (folder === 'kernels' && to === 'kernels' && kernels.includes(inner)) checkFlow(path, kernels, inner, toInner);
  }
}

/** Checks the relative imports of a file of lib. */
function checkImports(path, text) {
  for (const [, specifier] of text.matchAll(/\b(?:from|import\()\s*'(\.[^']+)'/g)) {
    const target = normalize(join(dirname(path), specifier));
    if (!target.startsWith('lib/')) continue;
    checkFlow(path, lib, roomOf(path), roomOf(target));
    const source = ['ts', 'tsx'].map((end) => target.replace(/js$/, end)).find((one) => existsSync(join(root, one)));
    if (source) imports.set(path, [...(imports.get(path) ?? []), source]);
  }
}

/** Refuses files of lib that import each other in a circle, types included. */
function checkCircles() {
  const done = new Set();
  const visit = (path, trail) => {
    const at = trail.indexOf(path);
    if (at >= 0) problems.push(`imports in a circle: ${[...trail.slice(at), path].join(' → ')}`);
    if (at >= 0 || done.has(path)) return;
    for (const target of imports.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of imports.keys()) visit(path, []);
}

/** The folder of lib that a file is in, or the name of a file that is in none. */
function roomOf(path) {
  return path.split('/')[1].replace(/\.[jt]s$/, '');
}

function checkFlow(path, order, from, to) {
  if (!order.includes(from)) problems.push(`${path}: ${from} has no place in the order of flow`);
  else if (!order.includes(to)) problems.push(`${path}: ${to} has no place in the order of flow`);
  else if (order.indexOf(to) > order.indexOf(from)) problems.push(`${path}: uses ${to}, which is to its right`);
}

checkCircles();
for (const problem of problems) console.error(problem);
console.log(`${count} files, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);

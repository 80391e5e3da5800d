// Checks the comments and the documents:
// - every file, constant, function and identifier in backticks that they name exists in the tree;
// - every test file that a document names as `area/name` exists;
// - every Markdown link to a file, and to a heading of a file, leads somewhere;
// - no sentence begins with "Of", "What", "Those" or "As" (a question may begin with "What").
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { root } from './setup.mjs';

/**
 * The shapes by which a name of code is known in a comment: an underscore, a capital inside, brackets after it, two
 * colons.
 */
const namePatterns = [
  /\b([a-z0-9]+_\w+)\b/g,
  /\b([A-Z][A-Z0-9]*_\w+)\b/g,
  /\b([a-z]+[A-Z]\w*)\b/g,
  /\b([A-Z][a-z0-9]+[A-Z]\w*)\b/g,
  /\b([A-Za-z_]\w*)\(\)/g,
  /\b(\w+)::/g,
  /::(\w+)\b/g,
];
/** Names that are not this project's: programs, files, terms, tensors. A comment may use them. */
const outside = new Set(
  `WebGPU OpenGL IndexedDB EventSource vLLM TensorRT LibreOffice macOS arXiv
  ThreadSanitizer AddressSanitizer UndefinedBehaviorSanitizer SiLU NoPE E2M1 E5M2 weight_scale_inv repr pp256 tg64 Instance webgpu_cpp.h webgpu.h NAME.wgsl .long.test.ts .d.ts utils mv`.split(
    /\s+/,
  ),
);
const codeFolders = ['native', 'lib', 'bin', 'test', 'tools', 'bench', 'examples'];
const otherFiles = ['CMakeLists.txt', 'package.json', 'biome.json', '.ci/run'];
const isCode = /\.(cc|h|wgsl|tsx?|mjs|cjs|js|c|py)$/;

const paths = [...new Set([...codeFolders, 'docs', 'models', '.'].flatMap(listFolder))];
const texts = new Map(
  paths.filter((path) => /\.(cc|h|wgsl|tsx?|mjs|cjs|js|c|py|md)$/.test(path)).map((path) => [path, read(path)]),
);
const comments = new Map(); // path -> [{ line, text }], one for each block of comment lines
const codes = new Map(); // path -> the file without its comments
const words = new Set(); // every identifier of the code, its strings included
for (const [path, text] of texts) {
  if (!isCode.test(path)) continue;
  const { blocks, code } = split(text);
  comments.set(path, blocks);
  codes.set(path, code);
  for (const [word] of code.matchAll(/[A-Za-z_]\w*/g)) words.add(word);
}
for (const path of otherFiles) for (const [word] of read(path).matchAll(/[A-Za-z_]\w*/g)) words.add(word);

const problems = [];
let count = 0;
for (const [path, blocks] of comments) {
  for (const { line, text } of blocks) {
    count++;
    checkNames(path, line, text, `${dirname(path)}/`);
    checkBeginnings(path, line, text);
  }
}
for (const [path, text] of texts) {
  if (!path.endsWith('.md') || path === 'CHANGELOG.md' || path === 'SPEED.md') continue;
  let isFenced = false;
  let paragraph;
  text.split('\n').forEach((line, i) => {
    if (line.startsWith('```')) isFenced = !isFenced;
    if (isFenced) return;
    const isRow = line.startsWith('|');
    if (isRow) for (const cell of line.split('|')) checkBeginnings(path, i + 1, cell);
    if (paragraph && (isRow || /^(?:\s*$|#|\s*(?:[-*]|\d+\.) )/.test(line))) {
      checkBeginnings(path, paragraph.line, paragraph.text);
      paragraph = undefined;
    }
    if (!isRow && !line.startsWith('#')) {
      paragraph ??= { line: i + 1, text: '' };
      paragraph.text += `${line}\n`;
    }
    count++;
    checkLinks(path, i + 1, line);
    checkTests(path, i + 1, line);
    // MODEL.md is about formulas and other people's tensors.
    if (path !== 'MODEL.md') checkNames(path, i + 1, line.replace(/\]\([^)]*\)/g, ']'));
  });
}

for (const problem of problems) console.error(problem);
console.log(`${count} comments and lines of documents, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);

/** Every file below `folder`, by its path from the root. The root itself stands for the files in it. */
function listFolder(folder) {
  return readdirSync(join(root, folder), { recursive: folder !== '.', withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('node_modules'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}

function read(path) {
  return readFileSync(join(root, path), 'utf8');
}

/** A source file's comments, a block of successive lines each, and its code without them. */
function split(text) {
  const blocks = [];
  let code = '';
  let block;
  let isInside = false; // of a comment between slash-star and star-slash
  text.split('\n').forEach((line, i) => {
    let comment;
    let before = line;
    if (isInside || /^\s*\/\*/.test(line)) {
      isInside = !line.includes('*/');
      comment = line.replace(/^\s*\/?\*+\/?/, '').replace(/\*\/.*/, '');
      before = '';
    } else {
      const at = line.search(/(^|\s)(\/\/|# )/);
      const isQuoted = (line.slice(0, at).match(/['"`]/g) ?? []).length % 2 === 1;
      if (at >= 0 && !isQuoted) {
        comment = line.slice(at).replace(/^\s*(\/\/+|#)/, '');
        before = line.slice(0, at);
      }
    }
    code += `${before}\n`;
    const isTrailing = before.trim() !== '';
    if (comment === undefined) block = undefined;
    else if (block && !isTrailing) block.text += `\n${comment}`;
    else {
      block = { line: i + 1, text: comment };
      blocks.push(block);
    }
  });
  return { blocks, code };
}

function checkNames(path, line, text, folder = '') {
  const at = `${path}:${line}`;
  const plain = text.replace(/biome-ignore [^:]*:|std::\w+|\\\w+/g, ' ');
  for (const [name] of plain.matchAll(/[\w./-]*\w\.(h|cc|ts|mjs|wgsl|md)\b(?![\w(])/g))
    if (!isFile(name, folder)) problems.push(`${at}: there is no file ${name}`);
  const names = new Set();
  for (const pattern of namePatterns) for (const [, name] of plain.matchAll(pattern)) names.add(name);
  for (const [, name] of plain.matchAll(/`([A-Za-z_]\w*(?:(?:::|\.)[A-Za-z_]\w*)*)`/g))
    if (!isFile(name, folder)) for (const part of name.split(/::|\./)) names.add(part);
  for (const [, owner, member] of plain.matchAll(/\b(\w+)::(\w+)\b/g))
    if (!hasMember(owner, member)) problems.push(`${at}: ${owner} has no ${member}`);
  for (const name of names) if (!isName(name)) problems.push(`${at}: nothing is called ${name}`);
}

/** Whether a file that declares the class or namespace also holds the member. True for a class of another program. */
function hasMember(owner, member) {
  const declares = new RegExp(`\\b(?:struct|class|namespace)\\s+(?:\\w+::)*${owner}\\b`);
  const holders = [...codes.values()].filter((code) => declares.test(code));
  return holders.length === 0 || holders.some((code) => new RegExp(`\\b${member}\\b`).test(code));
}

function isName(name) {
  const singular = name.replace(/(s|\d+)$/, ''); // or without its number
  if (words.has(name) || words.has(singular) || outside.has(name)) return true;
  if (/_[a-z]$/.test(name)) return true; // a formula's index
  // The text of a kernel is put together from such pieces.
  const pieces = name.split(/NAME|PART|SIDE/);
  return (
    pieces.length > 1 && pieces.every((piece) => /^\W*$|^_\d$/.test(piece) || [...words].some((w) => w.includes(piece)))
  );
}

function isFile(name, folder) {
  if (outside.has(name) || /^(build|dist)\//.test(name)) return true; // what building makes is not always there
  const path = normalize(name.replace(/^(\.\.?\/)+/, ''));
  return existsSync(join(root, folder, name)) || paths.some((one) => one === path || one.endsWith(`/${path}`));
}

function checkTests(path, line, text) {
  for (const [, area, name] of text.matchAll(/`([a-z]+)\/([a-z0-9-]+(?:\.long)?)`/g)) {
    const hasTests = paths.some((one) => one.startsWith(`test/${area}/`) && one.endsWith('.test.ts'));
    const files = [`test/${area}/${name}.test.ts`, `test/${area}/${name}.long.test.ts`];
    if (hasTests && !files.some((one) => paths.includes(one)))
      problems.push(`${path}:${line}: there is no test ${area}/${name}`);
  }
}

function checkLinks(path, line, text) {
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [file, heading] = target.split('#');
    const to = file ? normalize(join(dirname(path), file)) : path;
    if (!existsSync(join(root, to))) problems.push(`${path}:${line}: the link leads to ${to}, which is not there`);
    else if (heading && !headings(to).includes(heading))
      problems.push(`${path}:${line}: ${to} has no heading #${heading}`);
  }
}

/** A Markdown file's headings, as links write them. */
function headings(path) {
  return [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function checkBeginnings(path, line, text) {
  const sentences = text.replace(/\n/g, ' ').split(/(?<=[.!?])\s+/);
  for (const sentence of sentences) {
    const [, word] = sentence.match(/^\s*(?:[-*] |\d+\. |@\w+ |\*\*)*(Of|What|Those|As)\b/) ?? [];
    if (word && !(word === 'What' && sentence.trimEnd().endsWith('?')))
      problems.push(`${path}:${line}: a sentence begins with "${word}"`);
  }
}

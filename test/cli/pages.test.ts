/** The pages that people read (every .md file): their links lead somewhere, and their drawings can be drawn. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import test from 'tape';
import { root } from '../support/cli.js';
import { mermaidParser } from '../support/mermaid.js';

const otherFolders = new Set(['node_modules', 'build', 'dist', '.git', 'shared']);

function pagesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return otherFolders.has(entry.name) ? [] : pagesUnder(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

/** A page without its fenced blocks and its indented ones, in which nothing is a link or a heading. */
function prose(page: string): string {
  return page.replace(/^( *)```[\s\S]*?^\1```$/gm, '').replace(/^ {4}\S.*$/gm, '');
}

/** The targets of links in a page's text. */
function linksOf(page: string): string[] {
  const text = prose(page).replace(/`[^`\n]*`/g, 'code');
  return [...text.matchAll(/\]\(([^()\s]+(?:\([^()\s]*\))?)\)/g)].map((match) => match[1]!);
}

/** The anchors that GitHub gives the headings of a page. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, title] of prose(page).matchAll(/^#+ +(.+?) *$/gm)) {
    const words = title!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*\\]/g, '');
    const anchor = words
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .replaceAll(' ', '-');
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Why a link of the page at `path` leads nowhere. Null if it leads to a file, a folder or a heading, or off the machine. */
function brokenLink(path: string, link: string): string | null {
  if (/^[a-z]+:/.test(link)) return null;
  const [file, anchor] = link.split('#') as [string, string?];
  const target = file === '' ? path : join(dirname(path), file);
  if (!existsSync(target)) return `${link}: no such file`;
  if (anchor === undefined) return null;
  if (!target.endsWith('.md')) return `${link}: an anchor in a file that is no page`;
  return anchorsOf(readFileSync(target, 'utf8')).has(anchor) ? null : `${link}: no such heading`;
}

const pages = pagesUnder(root).map((path) => ({ path, name: relative(root, path), text: readFileSync(path, 'utf8') }));

test('every link in a page leads to a file or a heading that exists', (t) => {
  let links = 0;
  for (const { path, name, text } of pages) {
    const found = linksOf(text);
    links += found.length;
    t.deepEqual(found.map((link) => brokenLink(path, link)).filter(Boolean), [], name);
  }
  t.ok(links > 100, `${links} links`);
  t.end();
});

test('a link that leads nowhere is found', (t) => {
  const page = join(root, 'README.md');
  t.equal(brokenLink(page, 'docs/api.md#what-to-rely-on'), null);
  t.equal(brokenLink(page, 'docs/api.md#what-to-hope'), 'docs/api.md#what-to-hope: no such heading');
  t.equal(brokenLink(page, 'docs/nothing.md'), 'docs/nothing.md: no such file');
  t.deepEqual(linksOf('a [link](x.md#y), `[code](z)` and\n\n```js\n[none](w)\n```\n'), ['x.md#y']);
  t.deepEqual([...anchorsOf('# A `b`, [c](d)\n## A\n## A\n')], ['a-b-c', 'a', 'a-1']);
  t.end();
});

test('every Mermaid drawing can be parsed', async (t) => {
  const parse = mermaidParser();
  let drawings = 0;
  for (const { name, text } of pages)
    for (const [, drawing] of text.matchAll(/^```mermaid\n([\s\S]*?)^```$/gm)) {
      drawings++;
      const fault = await parse(drawing!).then(
        () => null,
        (error: Error) => error.message,
      );
      t.equal(fault, null, `${name}: ${drawing!.split('\n', 2).join(' ')}`);
    }
  t.ok(drawings >= 2, `${drawings} drawings`);
  for (const broken of ['flowchart LR\n  a["request --> b', 'flowchrat LR\n  a --> b'])
    await parse(broken).then(
      () => t.fail(`a broken drawing passed: ${broken}`),
      () => t.pass('a broken drawing is refused'),
    );
});

test('every page that a shipped page links to is shipped too', (t) => {
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
  const isShipped = (name: string) => files.some((file) => name === file || name.startsWith(`${file}/`));
  const shipped = pages.filter(({ name }) => isShipped(name));
  t.ok(shipped.length > 10, `${shipped.length} pages are shipped`);
  for (const { path, name, text } of shipped) {
    const left = linksOf(text)
      .filter((link) => /\.md(#|$)/.test(link) && !/^[a-z]+:/.test(link))
      .map((link) => relative(root, join(dirname(path), link.split('#')[0]!)))
      .filter((target) => target !== '' && !statSync(join(root, target)).isDirectory() && !isShipped(target));
    t.deepEqual(left, [], name);
  }
  t.end();
});

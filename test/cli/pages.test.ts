/** The pages that people read (every .md file): their drawings can be parsed, and the package has those it links to. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
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

/** The targets of a page's links. Code has none. */
function linksOf(page: string): string[] {
  const text = page.replace(/^( *)```[\s\S]*?^\1```$/gm, '').replace(/`[^`\n]*`/g, 'code');
  return [...text.matchAll(/\]\(([^()\s]+(?:\([^()\s]*\))?)\)/g)].map((match) => match[1]!);
}

const pages = pagesUnder(root).map((path) => ({ path, name: relative(root, path), text: readFileSync(path, 'utf8') }));

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

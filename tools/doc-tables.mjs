// Checks the tables in docs/ that are made from lib's tables, between the marks `<!-- table: NAME -->` and `<!-- end
// -->`, and the defaults that comments in lib/types/generate.ts give. `node --import tsx tools/doc-tables.mjs --write`
// writes the tables.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const { variables } = await import('../lib/environment.ts');
const { loadOptions } = await import('../lib/plan/load-options.ts');
const { serveOptions } = await import('../lib/serve/options.ts');
const { chatSchema } = await import('../lib/serve/openai/chat-request.ts');
const { samplingOptions } = await import('../lib/sampling-options.ts');

/** The rows of each table by its name, each a list of cells, the head first. */
const tables = {
  'sampling flags': [
    ['flag', 'variable', 'meaning'],
    ...samplingOptions.map((option) => [
      `\`${option.flag} <${option.value}>\``,
      `\`${option.env}\``,
      `${option.help}. ${rangeOf(option)}, else ${option.default}`,
    ]),
    ['`-s, --seed <n>`', '`KEXA_SEED`', 'same seed, prompt, flags and device: same answer. -1 is random. Else -1'],
  ],
  'sampling options': [
    ['option', 'default', ''],
    ...samplingOptions.map((option) => [
      `\`${option.name}\``,
      String(option.default),
      `${option.help}. ${rangeOf(option)}`,
    ]),
  ],
  'server options': [
    ['flag', 'variable', 'in `serve`', 'meaning'],
    ...serveOptions.map((option) => [
      `\`${option.flags}\``,
      `\`${option.env}\``,
      `\`${option.name}\``,
      `${option.help}. ${defaultOf(option)}`,
    ]),
  ],
  'chat fields': [
    ['field', 'meaning'],
    ...Object.entries(chatSchema().properties).map(([name, { description }]) => [`\`${name}\``, description]),
  ],
  'other variables': [
    ['variable', 'meaning'],
    ...Object.entries(variables).map(([name, meaning]) => [`\`${name}\``, meaning]),
  ],
};

/** The default of a server's option, as a sentence. */
function defaultOf({ default: value, reads }) {
  if (reads === 'on' || reads === 'off') return `Default in \`serve\`: ${value}`;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'Default: none';
  return `Default: ${value}`;
}

/** The allowed values, as a sentence begins. */
function rangeOf({ kind, least, most, isAbove }) {
  if (kind === 'integer') return `An integer from ${least}`;
  return isAbove ? `Above ${least}, at most ${most}` : `${least} to ${most}`;
}

function tableText([head, ...rows]) {
  const line = (cells) => `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |');
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const isWriting = process.argv.includes('--write');
const found = new Set();
let differing = 0;
for (const file of ['docs/api.md', 'docs/cli.md', 'docs/serve.md']) {
  const path = join(root, file);
  const text = readFileSync(path, 'utf8');
  const written = text.replaceAll(/(<!-- table: ([\w ]+) -->\n)[\s\S]*?(\n<!-- end -->)/g, (old, start, name, end) => {
    if (!Object.hasOwn(tables, name)) throw new Error(`${file}: there is no table '${name}'`);
    found.add(name);
    const made = `${start}${tableText(tables[name])}${end}`;
    if (made !== old) {
      differing++;
      if (!isWriting) console.error(`${file}: the table '${name}' is not that of lib`);
    }
    return made;
  });
  if (isWriting && written !== text) writeFileSync(path, written);
}
for (const name of Object.keys(tables)) if (!found.has(name)) throw new Error(`docs/ have no table '${name}'`);
// docs say more of the options of loadModel than their table does. Each option has a row in both pages, with the same
// flags. The library's page names every value somewhere, the command's page in the row.
const [api, cli] = ['docs/api.md', 'docs/cli.md'].map((file) => ({ file, lines: linesOf(file) }));
for (const { name, flag, choices = [] } of loadOptions) {
  const values = choices.map((choice) => `'${choice}'`);
  checkRow(api, `| \`${name}\` |`, values, api.lines.join('\n'));
  if (flag) checkRow(cli, `| \`${flag.flags}\` | \`${flag.env}\` |`, choices);
}

function linesOf(file) {
  return readFileSync(join(root, file), 'utf8').split('\n');
}

/** Checks that a document has a row that begins so, and that the row, or the text `where`, names each of the values. */
function checkRow({ file, lines }, start, values, where) {
  const row = lines.find((line) => line.startsWith(start));
  const missing = row === undefined ? [start] : values.filter((value) => !(where ?? row).includes(`\`${value}\``));
  for (const text of missing) console.error(`${file}: ${row === undefined ? 'no row' : start}: does not name ${text}`);
  differing += missing.length;
}

const types = readFileSync(join(root, 'lib/types/generate.ts'), 'utf8');
for (const { name, default: wanted } of samplingOptions) {
  const [, said] = new RegExp(`Default (-?[\\d.]*\\d)[^/]*\\*/\\s+${name}\\?:`).exec(types) ?? [];
  if (Number(said) === wanted) continue;
  console.error(`lib/types/generate.ts: the comment of ${name}: wanted 'Default ${wanted}', found ${said}`);
  differing++;
}
const hint = isWriting ? 'written' : 'to write (node --import tsx tools/doc-tables.mjs --write)';
console.log(`${found.size} tables, ${differing} ${hint}`);
process.exit(differing > 0 && !isWriting ? 1 : 0);

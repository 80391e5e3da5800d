/** Warnings without a failure, and texts of files that are made fit for a terminal. */
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { KexaError, type KexaWarning } from '../../lib/index.js';
import { printable, printableLine } from '../../lib/printable.js';
import { warningChannel } from '../../lib/warnings.js';
import { kexa, temporaryFolder, tiny } from '../support/cli.js';
import { editGguf } from '../support/gguf-edit.js';
import { refuses } from '../support/small-model.js';

test('control characters are spelled out, and nothing else is', async (t) => {
  for (const text of ['', 'plain', '표 漢字 é 👋🏽', 'a\nb\tc', '{"a": "\\u001b"}']) t.equal(printable(text), text);
  const cases: [string, string][] = [
    ['\x1b[31mred', '\\u001b[31mred'],
    ['\x1b]0;title\x07', '\\u001b]0;title\\u0007'],
    ['a\rb\bc\x7f', 'a\\u000db\\u0008c\\u007f'],
    ['\u009b2J\u0000', '\\u009b2J\\u0000'],
    ['a\u202eb\u2066c', 'a\\u202eb\\u2066c'],
    ['a\ud83d', 'a\\ud83d'],
    ['a\u2028b', 'a\\u2028b'],
  ];
  for (const [raw, wanted] of cases) t.equal(printable(raw), wanted);
  t.equal(printableLine('a\nb\tc\x1b'), 'a\\nb\\tc\\u001b');
  t.equal(new KexaError('KEXA_BAD_FILE', 'tensor \x1b[2J: bad\n  in x').message, 'tensor \\u001b[2J: bad\n  in x');
});

test('warnings go to onWarning, else to process.emitWarning, once each', async (t) => {
  const told: KexaWarning[] = [];
  const warn = warningChannel((warning: KexaWarning) => told.push(warning));
  warn('KEXA_PASSED_OVER', 'a\x1b');
  warn('KEXA_PASSED_OVER', 'a\x1b');
  t.deepEqual(told, Array(2).fill({ code: 'KEXA_PASSED_OVER', message: 'a\\u001b' }));

  const emitted: (Error & { code?: string })[] = [];
  const listen = (warning: Error) => emitted.push(warning);
  process.on('warning', listen);
  for (let i = 0; i < 3; i++) warningChannel(undefined)('KEXA_NO_DRAFTS', 'said once');
  await new Promise((done) => setImmediate(done));
  process.off('warning', listen);
  t.deepEqual(
    emitted.map(({ name, code, message }) => [name, code, message]),
    [['KexaWarning', 'KEXA_NO_DRAFTS', 'said once']],
  );
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['onWarning', 'a function'], () => warningChannel('yes'));
});

test('names and values out of a file reach a terminal without its controls', async (t) => {
  const dir = temporaryFolder(t);
  const evil = 'evil\x1b[31mred\x1b]0;title\x07';
  const file = editGguf(
    new URL('../models/gguf/q4_k_m.gguf', import.meta.url).pathname,
    join(dir, 'evil.gguf'),
    (gguf) => gguf.tensors.push({ name: evil, dimensions: [1], typeId: 0, data: Buffer.alloc(4) }),
  );
  const folder = join(dir, 'model');
  cpSync(tiny, folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ model_type: evil }));
  for (const path of [file, folder]) {
    const run = await kexa(['inspect', path]);
    t.equal(run.code, 1);
    t.match(run.stderr, /evil\\u001b\[31mred/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    t.doesNotMatch(run.stderr + run.stdout, /[\u0000-\u0009\u000b-\u001f]/);
  }
});

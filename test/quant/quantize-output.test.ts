/**
 * Where `kexa quantize` writes: never over what it reads or what is no file, one run at a time, leaving nothing behind.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import test from 'tape';
import { recipes } from '../../lib/plan/recipes.js';
import { type QuantizeOptions, quantizeModel } from '../../lib/quantize/quantize-model.js';
import { bin, ended, kexa, start, temporaryFolder, tiny } from '../support/cli.js';
import { writeSafetensors } from '../support/safetensors-writer.js';
import { moeConfig, moeTensors, refuses } from '../support/small-model.js';

const options: QuantizeOptions = { recipe: recipes.q8, isForced: true };

test('a file of the model itself is never written over', async (t) => {
  const folder = temporaryFolder(t);
  const model = join(folder, 'model');
  cpSync(tiny, model, { recursive: true });
  // Like Hugging Face's cache: the weights are elsewhere.
  const blob = join(folder, 'blob');
  copyFileSync(join(model, 'model.safetensors'), blob);
  const cached = join(folder, 'cached');
  cpSync(tiny, cached, { recursive: true, filter: (path) => !path.endsWith('model.safetensors') });
  symlinkSync(blob, join(cached, 'model.safetensors'));
  linkSync(join(model, 'model.safetensors'), join(folder, 'hard-link.gguf'));
  symlinkSync(model, join(folder, 'by-another-name'));
  mkdirSync(join(folder, 'sub'));
  linkSync(blob, join(folder, 'sub', 'out.gguf.part'));
  const read = (path: string) => readFileSync(path);
  const before = read(blob);

  for (const [from, out] of [
    [model, join(model, 'model.safetensors')],
    [model, join(model, 'config.json')],
    [model, join(model, 'tokenizer.json')],
    [model, join(model, 'README.md')],
    [model, relative(process.cwd(), join(model, 'model.safetensors'))],
    [model, join(folder, 'by-another-name', 'model.safetensors')],
    [join(folder, 'by-another-name'), join(model, 'model.safetensors')],
    [model, join(folder, 'hard-link.gguf')],
    [cached, blob],
    [cached, join(folder, 'sub', 'out.gguf')],
  ] as const)
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ["one of the model's own files", 'never'], () =>
      quantizeModel(from, out, options),
    );
  // A new name there, too, would change what the folder is.
  for (const name of ['model-00001-of-00002.safetensors', 'chat_template.json', 'out'])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', [name, 'wanted a name that ends in .gguf'], () =>
      quantizeModel(model, join(model, name), options),
    );
  t.ok(
    read(join(model, 'model.safetensors')).equals(before) && read(blob).equals(before),
    'the weights are as they were',
  );

  const beside = join(model, 'tiny-q8.gguf');
  await quantizeModel(model, beside, options);
  await quantizeModel(model, beside, options);
  t.ok(statSync(beside).size > 1e7, 'a GGUF file may stand beside the model, and be made again');
});

test('a place where no file can be is refused before any work', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, 'kept');
  mkdirSync(join(folder, 'folder'));
  symlinkSync(file, join(folder, 'link'));
  symlinkSync(join(folder, 'new'), join(folder, 'dangling'));
  execFileSync('mkfifo', [join(folder, 'fifo'), join(folder, 'piped.part')]);
  symlinkSync(file, join(folder, 'linked.part'));
  mkdirSync(join(folder, 'foldered.part'));
  const before = readdirSync(folder);
  let pieces = 0;
  const onProgress = () => pieces++;
  for (const [out, ...words] of [
    ['folder', 'found a folder'],
    ['folder/', 'found a folder'],
    ['.', 'found a folder'],
    ['link', 'found a symbolic link'],
    ['dangling', 'found a symbolic link'],
    ['fifo', 'found a FIFO'],
    ['piped', 'piped.part', 'found a FIFO'],
    ['linked', 'linked.part', 'found a symbolic link'],
    ['foldered', 'foldered.part', 'found a folder'],
    ['missing/out.gguf', 'no such folder', 'missing'],
    ['file/out.gguf', 'a part of its path is no folder'],
  ] as const)
    await refuses(t, 'KEXA_WRITE_FAILED', [...words], () =>
      quantizeModel(tiny, join(folder, out), { ...options, onProgress }),
    );
  t.equal(pieces, 0, 'nothing was made smaller');
  t.deepEqual(readdirSync(folder), before, 'nothing is left');
  t.equal(readFileSync(file, 'utf8'), 'kept');
});

test("a part file of another's is kept", async (t) => {
  const folder = temporaryFolder(t);
  const out = join(folder, 'out.gguf');
  writeFileSync(`${out}.part`, 'half of a download');
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['was not begun by kexa', '--force'], () =>
    quantizeModel(tiny, out, { recipe: recipes.q8 }),
  );
  t.equal(readFileSync(`${out}.part`, 'utf8'), 'half of a download');
  await quantizeModel(tiny, out, options);
  t.deepEqual(readdirSync(folder), ['out.gguf'], '--force begins anew');
});

test('a run that fails leaves nothing', async (t) => {
  const folder = temporaryFolder(t);
  const from = join(folder, 'from');
  mkdirSync(from);
  writeFileSync(join(from, 'config.json'), JSON.stringify(moeConfig()));
  const tensors = moeTensors();
  tensors['lm_head.weight']!.data.writeUInt16LE(0x7fc0, 12);
  await writeSafetensors(join(from, 'model.safetensors'), tensors);
  const out = join(folder, 'out.gguf');
  await refuses(t, 'KEXA_UNSUPPORTED', ['head', 'NaN'], () => quantizeModel(from, out, { recipe: recipes.q8 }));
  t.deepEqual(readdirSync(folder), ['from'], 'after a weight that is not finite');

  const full = join(folder, 'full.gguf');
  for (const blocks of [10, 2000]) {
    // A limit on the size of files is the nearest to a full disk that a test can make.
    const command = `ulimit -f ${blocks}; exec '${process.execPath}' '${bin}' quantize '${tiny}' '${full}' --recipe q8`;
    const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
    t.equal(status, 1, stderr);
    t.deepEqual(readdirSync(folder), ['from'], `with files of ${blocks} blocks`);
  }

  const stop = new AbortController();
  stop.abort(new Error('stopped'));
  await quantizeModel(tiny, out, { recipe: recipes.q8, signal: stop.signal }).catch(() => {});
  t.deepEqual(readdirSync(folder), ['from'], 'after a stop before anything was done');
});

test('Ctrl-C keeps what is done, and says so', async (t) => {
  const folder = temporaryFolder(t);
  const out = join(folder, 'out.gguf');
  const child = start(['quantize', tiny, out, '--recipe', 'q2', '-t', '1']);
  const end = ended(child);
  while (!existsSync(`${out}.part.json`) && child.exitCode === null) await new Promise((go) => setTimeout(go, 5));
  child.kill('SIGINT');
  const { code, stderr } = await end;
  t.equal(code, 130, stderr);
  const isKept = existsSync(`${out}.part`);
  t.equal(stderr.includes(`${out}.part`), isKept, stderr);
  t.notOk(existsSync(out));
  const again = await kexa(['quantize', tiny, out, '--recipe', 'q2', '-t', '1']);
  t.equal(again.code, 0, again.stderr);
  t.equal(again.stdout.includes('went on from'), isKept, again.stdout);
  t.deepEqual(readdirSync(folder), ['out.gguf']);
});

test('one run at a time writes a file', async (t) => {
  const folder = temporaryFolder(t);
  const out = join(folder, 'out.gguf');
  let other: Promise<unknown> | null = null;
  const first = quantizeModel(tiny, out, {
    recipe: recipes.q8,
    onProgress() {
      other ??= Promise.allSettled([
        refuses(t, 'KEXA_WRITE_FAILED', [`${out}.part`, 'another run'], () => quantizeModel(tiny, out, options)),
        kexa(['quantize', tiny, out, '--recipe', 'q8']),
      ]);
    },
  });
  const { bytes } = await first;
  await other;
  t.equal(statSync(out).size, bytes);
  t.deepEqual(readdirSync(folder), ['out.gguf'], 'the first one ends as it would have');
  // All begin at once: one of them has it, the others are refused or come when it is there.
  const again = join(folder, 'again.gguf');
  const runs = await Promise.all([1, 2, 3].map(() => kexa(['quantize', tiny, again, '--recipe', 'q8'])));
  t.equal(runs.filter(({ code }) => code === 0).length, 1, runs.map(({ stderr }) => stderr).join(''));
  t.ok(readFileSync(again).equals(readFileSync(out)));
  t.deepEqual(readdirSync(folder), ['again.gguf', 'out.gguf']);
});

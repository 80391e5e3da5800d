/**
 * A saved session may come from a stranger. Whatever is in it, it is refused in one error or it is a session like any
 * other: it never holds the engine up, never shows what others have left in the cache, and saving harms nobody's file.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import { type GenerateOptions, KexaError, type LoadOptions, type Model } from '../../lib/index.js';
import { openModel, randomIds } from '../support/compare.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { type HeaderField, headerFields, SessionFile } from '../support/session-file.js';
import { refuses } from '../support/small-model.js';

const greedy = { temperature: 0, ignoreEos: true, logprobs: 3, mtp: false, maxTokens: 3 } satisfies GenerateOptions;
/** The windows of {@link smallModel}'s layers, the MTP layer's last. */
const windows = [0, 7, 3, 3, 12, 0, 5];
const tokens = 90;

function newFolder(t: test.Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-session-file-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Small, with global layers and sliding ones of four windows, and a drafting layer that slides. */
function smallModel(t: test.Test): string {
  const folder = newFolder(t);
  const changes = { hidden_size: 32, head_dim: 8, sliding_windows: windows.slice(0, 6), mtp_sliding_windows: [5] };
  const config = { ...sisterConfigs.kExaone2, ...changes, max_position_embeddings: 4096 };
  const model = makeRandomModel(config, 3);
  writeRandomModel(folder, model, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  return folder;
}

function open(t: test.Test, folder: string, options: LoadOptions = {}): Promise<Model> {
  return openModel(t, folder, { threads: 1, contextSize: 512, prefixCacheBytes: 0, ...options });
}

/** A session of 90 tokens, saved. */
async function savedSession(t: test.Test, folder: string, model: Model, options: GenerateOptions = {}) {
  const session = model.createSession();
  const ids = randomIds(tokens, model.config.vocabSize, 1);
  await session.generate(ids, { ...greedy, ...options, maxTokens: 1 });
  const path = join(newFolder(t), 'session');
  await session.save(path);
  await session.close();
  return { path, ids, file: new SessionFile(readFileSync(path), windows), folder };
}

/** The answer of a loaded session, or the code of the error. Any other failure throws. */
async function outcome(model: Model, path: string, prompt: number[]) {
  try {
    const session = await model.loadSession(path);
    const { ids, logprobs, usage } = await session.generate(prompt, greedy);
    await session.close();
    return { said: { ids, logprobs }, cached: usage.cachedTokens };
  } catch (error) {
    if (!(error instanceof KexaError)) throw error;
    return error.code;
  }
}

test('every number of the header at its extremes is refused, or harmless', async (t) => {
  const folder = smallModel(t);
  const model = await open(t, folder);
  const { path, ids, file } = await savedSession(t, folder, model, { mtp: 2 });
  t.deepEqual(file.boundaries().at(-1), file.bytes.length, 'the layout is understood');
  const prompt = [...ids, 7, 8];
  const { ids: answer, logprobs } = await model.generate(prompt, greedy);
  const length = file.get('length');
  const extremes = [
    -(2 ** 31),
    -(2 ** 31) + 1,
    -1,
    0,
    1,
    2,
    length - 1,
    length,
    length + 1,
    length + 2,
    length + 3,
    4095,
  ];
  extremes.push(4096, 4097, 2 ** 16, 2 ** 24, 2 ** 30, 2 ** 31 - 2, 2 ** 31 - 1);
  const counts: Record<string, number> = { loaded: 0, KEXA_BAD_FILE: 0 };
  for (const field of Object.keys(headerFields) as HeaderField[])
    for (const value of extremes)
      for (const bytes of [
        file.withField(field, value),
        ...(field === 'length' ? [] : [file.forged({ [field]: value })]),
      ]) {
        writeFileSync(path, bytes);
        const found = await outcome(model, path, prompt);
        const isRight =
          typeof found === 'string'
            ? found === 'KEXA_BAD_FILE'
            : JSON.stringify(found.said) === JSON.stringify({ ids: answer, logprobs });
        if (!isRight) t.fail(`${field} ${value}: ${JSON.stringify(found).slice(0, 300)}`);
        counts[typeof found === 'string' ? found : 'loaded']!++;
      }
  t.ok(counts.loaded! > 10 && counts.KEXA_BAD_FILE! > 70, `as a fresh session or refused: ${JSON.stringify(counts)}`);
});

test('lengths near 2^31 are refused at once, and others are answered', async (t) => {
  const folder = smallModel(t);
  const model = await open(t, folder);
  const { path, file } = await savedSession(t, folder, model);
  const began = performance.now();
  for (let less = 0; less < 64; less++) {
    writeFileSync(path, file.withField('length', 2 ** 31 - 1 - less));
    if ((await outcome(model, path, [1, 2])) !== 'KEXA_BAD_FILE') t.fail(`2^31 - ${1 + less} is not refused`);
  }
  t.pass(`64 lengths refused in ${Math.round(performance.now() - began)} ms`);
  t.equal((await model.generate([1, 2], greedy)).ids.length, 3, 'the engine goes on');
});

test('a file cut short anywhere is refused, and leaves nothing behind', async (t) => {
  const folder = smallModel(t);
  const model = await open(t, folder);
  const { path, file, ids } = await savedSession(t, folder, model);
  for (const end of [0, ...file.boundaries()])
    for (const length of [end - 1, end, end + 1]) {
      if (length < 0 || length === file.bytes.length) continue;
      writeFileSync(
        path,
        length <= file.bytes.length ? file.bytes.subarray(0, length) : Buffer.concat([file.bytes, Buffer.alloc(1)]),
      );
      const found = await outcome(model, path, ids);
      if (found !== 'KEXA_BAD_FILE')
        t.fail(`${length} of ${file.bytes.length} bytes: ${JSON.stringify(found).slice(0, 200)}`);
    }
  t.pass(`${file.boundaries().length} boundaries`);
  writeFileSync(path, file.bytes);
  const whole = await outcome(model, path, ids);
  t.equal(typeof whole === 'object' && whole.cached, tokens - 1, 'the whole one is read');
});

test('tokens that are not in the vocabulary are refused, with a right checksum too', async (t) => {
  const folder = smallModel(t);
  const model = await open(t, folder);
  const { path, file, ids } = await savedSession(t, folder, model);
  for (const id of [-(2 ** 31), -1, model.config.vocabSize, 2 ** 31 - 1])
    for (const place of [0, 63, tokens - 1]) {
      writeFileSync(path, file.forged({}, { [place]: id }));
      await refuses(t, 'KEXA_BAD_FILE', ['token', String(id)], () => model.loadSession(path));
    }
  writeFileSync(path, file.forged({}, { 3: model.config.vocabSize - 1 }));
  t.equal(typeof (await outcome(model, path, ids)), 'object', 'one that is in it is not');
});

test('a forged file shows nothing of what other sessions have left', async (t) => {
  const folder = smallModel(t);
  const model = await open(t, folder);
  const { path, file, ids } = await savedSession(t, folder, model);
  const prompt = [...ids, 7, 8];
  const { ids: answer, logprobs } = await model.generate(prompt, greedy);
  const leaks: string[] = [];
  let loaded = 0;
  for (const restoredAt of [0, 5, 40, 85, 90, 91, 92, 93, 94, 100, 103, 400, 1000, 4096]) {
    const found = [];
    for (const secret of [1, 2]) {
      // Other sessions fill all four places before the file is read into one of them.
      for (let i = 0; i < 4; i++) {
        const other = model.createSession();
        await other.generate(randomIds(100, model.config.vocabSize, 100 * secret + i), { ...greedy, mtp: 2 });
        await other.close();
      }
      writeFileSync(path, file.forged({ restoredAt }));
      found.push(JSON.stringify(await outcome(model, path, prompt)));
    }
    if (found[0] !== found[1]) leaks.push(`${restoredAt}: ${found}`);
    if (found[0]!.includes('said')) loaded++;
    if (restoredAt >= 94 && found[0] !== '"KEXA_BAD_FILE"') leaks.push(`${restoredAt} is read`);
    if (restoredAt === 90 && !found[0]!.includes(JSON.stringify({ ids: answer, logprobs }).slice(1, -1)))
      leaks.push('the honest one is not read');
  }
  t.deepEqual(leaks, [], `whatever others have asked, the same: ${loaded} loaded`);
});

test('a saved session holds no rows of others in the drafting layer', async (t) => {
  const folder = smallModel(t);
  const model = await open(t, folder);
  for (let i = 0; i < 4; i++) {
    const other = model.createSession();
    await other.generate(randomIds(200, model.config.vocabSize, i), { ...greedy, mtp: 2 });
    await other.close();
  }
  const { file } = await savedSession(t, folder, model, { mtp: false });
  t.equal(file.get('mtpWritten'), 0, 'the session never drafted');
  t.ok(file.layer(6).length > 0 && file.layer(6).every((byte) => byte === 0), 'its rows are zeros');
  const drafting = await savedSession(t, folder, model, { mtp: 2 });
  t.ok(drafting.file.get('mtpWritten') > 80 && drafting.file.layer(6).some((byte) => byte !== 0), 'or its own');
});

test('only regular files are read, and none that is opened makes others wait', async (t) => {
  const folder = smallModel(t);
  const place = newFolder(t);
  const model = await open(t, folder);
  execFileSync('mkfifo', [join(place, 'fifo')]);
  symlinkSync(join(place, 'fifo'), join(place, 'link'));
  await refuses(t, 'KEXA_BAD_FILE', ['regular file', 'FIFO'], () => model.loadSession(join(place, 'fifo')));
  await refuses(t, 'KEXA_BAD_FILE', ['regular file', 'FIFO'], () => model.loadSession(join(place, 'link')));
  await refuses(t, 'KEXA_BAD_FILE', ['regular file', 'folder'], () => model.loadSession(place));
  await refuses(t, 'KEXA_BAD_FILE', ['regular file', 'device'], () => model.loadSession('/dev/zero'));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['path'], () => model.loadSession('a\0b'));
  // Weights are opened by the same rule, once the reader of their headers is content.
  t.equal((await model.generate([1, 2], greedy)).ids.length, 3, 'the engine goes on');
});

test('saving replaces regular files only, and keeps the old one until the new one is whole', async (t) => {
  const folder = smallModel(t);
  const place = newFolder(t);
  const model = await open(t, folder);
  const session = model.createSession();
  await session.generate(randomIds(tokens, model.config.vocabSize, 1), greedy);
  const [fifo, link, target, old] = ['fifo', 'link', 'target', 'old'].map((name) => join(place, name)) as [
    string,
    string,
    string,
    string,
  ];
  execFileSync('mkfifo', [fifo]);
  writeFileSync(target, 'theirs');
  symlinkSync(target, link);
  mkdirSync(join(place, 'folder'));
  await refuses(t, 'KEXA_WRITE_FAILED', [fifo, 'FIFO'], () => session.save(fifo));
  await refuses(t, 'KEXA_WRITE_FAILED', [link, 'symbolic link'], () => session.save(link));
  await refuses(t, 'KEXA_WRITE_FAILED', ['folder'], () => session.save(join(place, 'folder')));
  t.ok(lstatSync(fifo).isFIFO(), 'the FIFO is still one');
  t.equal(readlinkSync(link), target, 'the link too');
  t.equal(readFileSync(target, 'utf8'), 'theirs', 'what it leads to is untouched');

  await session.save(old);
  const before = readFileSync(old);
  try {
    await session.save(old, { signal: AbortSignal.abort(new Error('enough')) });
    t.fail('an aborted signal rejects');
  } catch (error) {
    t.equal((error as Error).message, 'enough', 'with its reason');
  }
  t.ok(readFileSync(old).equals(before), 'the old file is kept');
  t.deepEqual(readdirSync(place).sort(), ['fifo', 'folder', 'link', 'old', 'target'], 'and nothing else is left');
});

test('a disk that is full keeps the old file', async (t) => {
  const folder = smallModel(t);
  const place = newFolder(t);
  const old = join(place, 'session');
  const program = join(place, 'save.mjs');
  writeFileSync(
    program,
    `const { loadModel } = await import(${JSON.stringify(join(process.cwd(), 'dist/index.js'))});
    const model = await loadModel(${JSON.stringify(folder)}, { device: 'cpu', threads: 1, contextSize: 512 });
    const session = model.createSession();
    await session.generate(Array.from({ length: 200 }, (_, i) => i % 100), { maxTokens: 1 });
    await session.save(${JSON.stringify(old)}).then(() => console.log('saved'), (error) => console.log(error.code));
    await model.close();`,
  );
  writeFileSync(old, 'the old one');
  // A limit on the size of files (blocks of 1 KiB) stands for a full disk.
  const said = execFileSync('bash', ['-c', `ulimit -f 16; exec "${process.execPath}" "${program}"`], {
    encoding: 'utf8',
  });
  t.equal(said.trim(), 'KEXA_WRITE_FAILED');
  t.equal(readFileSync(old, 'utf8'), 'the old one', 'the old file is kept');
  t.deepEqual(readdirSync(place).sort(), ['save.mjs', 'session'], 'and nothing else is left');
});

test('two models that save to one path at the same time leave a whole file', async (t) => {
  const folder = smallModel(t);
  const place = newFolder(t);
  const path = join(place, 'both');
  const models = [await open(t, folder, { contextSize: 1024 }), await open(t, folder, { contextSize: 1024 })] as const;
  const sessions = models.map((model) => model.createSession());
  for (const [i, session] of sessions.entries())
    await session.generate(randomIds(400 - 50 * i, models[0].config.vocabSize, 1), { ...greedy, maxTokens: 1 });
  for (let round = 0; round < 40; round++) {
    await Promise.all(sessions.map((session) => session.save(path)));
    const loaded = await models[0].loadSession(path);
    await loaded.close();
  }
  t.ok(existsSync(path) && statSync(path).isFile(), '40 rounds: all saved, all loaded');
  t.deepEqual(readdirSync(place), ['both'], 'and nothing else is left');
});

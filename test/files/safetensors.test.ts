import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import test, { type Test } from 'tape';
import { KexaError } from '../../lib/errors.js';
import { kExaone } from '../../lib/files/family/k-exaone.js';
import { readJsonEntries } from '../../lib/files/json-entries.js';
import { readSafetensorsHeader } from '../../lib/files/safetensors.js';
import { readCheckpoint } from '../../lib/files/shards.js';
import { modelFolder } from '../support/models.js';
import { writeRawSafetensors, writeSafetensors, zeros } from '../support/safetensors-writer.js';
import { newFolder, refuses } from '../support/small-model.js';

/** A file with one tensor `a` of four bytes, whose header entry and data may be replaced. */
async function oneTensor(t: Test, entry: unknown, data: Buffer = Buffer.alloc(4)): Promise<string> {
  return await rawFile(t, JSON.stringify({ a: entry }), data);
}

async function rawFile(t: Test, header: string | Buffer, data?: Buffer, headerBytes?: bigint): Promise<string> {
  const path = join(await newFolder(t), 'model.safetensors');
  await writeRawSafetensors(path, header, data, headerBytes);
  return path;
}

const good = { dtype: 'BF16', shape: [2], data_offsets: [0, 4] };

test('a header gives every tensor and its place', async (t) => {
  const path = join(await newFolder(t), 'model.safetensors');
  await writeSafetensors(path, { b: zeros('F32', [2, 3]), a: zeros('BF16', [5]), empty: zeros('F16', [0, 4]) });
  const tensors = await readSafetensorsHeader(path);
  const start = tensors[0]!.offset;
  t.deepEqual(
    tensors.map(({ name, offset, bytes }) => [name, offset - start, bytes]),
    [
      ['b', 0, 24],
      ['a', 24, 10],
      ['empty', 34, 0],
    ],
  );
  t.deepEqual(tensors[0]!.shape, [2, 3]);
  const unknown = await readSafetensorsHeader(await oneTensor(t, { ...good, dtype: 'Q4_NEW' }));
  t.equal(unknown[0]!.dtype, 'Q4_NEW', 'a type that kexa does not know is kept until the tensor is needed');
  t.deepEqual(await readSafetensorsHeader(await rawFile(t, '{"__metadata__":{"a":"b"}}')), []);
});

test('a file that is cut short says by how much', async (t) => {
  const cut = (path: string, ...words: string[]) =>
    refuses(t, 'KEXA_BAD_FILE', [path, 'cut short', ...words], () => readSafetensorsHeader(path));
  const path = await oneTensor(t, good);
  const whole = 8 + JSON.stringify({ a: good }).length + 4;
  for (const bytes of [whole - 1, whole - 4]) {
    await truncate(path, bytes);
    await cut(path, `wanted ${whole} bytes`, `found ${bytes}`);
  }
  await truncate(path, 20);
  await cut(path, `wanted ${whole - 4} bytes`, 'found 20');
  await truncate(path, 7);
  await cut(path, 'found 7');
  await truncate(path, 0);
  await cut(path, 'found 0');
});

test('a damaged header is refused', async (t) => {
  const bad = async (path: string, ...words: string[]) =>
    refuses(t, 'KEXA_BAD_FILE', [path, ...words], () => readSafetensorsHeader(path));
  await bad(await rawFile(t, ''), 'JSON');
  await bad(await rawFile(t, '[]'), 'not a JSON object');
  await bad(await rawFile(t, '{"a":'), 'JSON');
  await bad(await rawFile(t, Buffer.from([0x7b, 0xff, 0x7d])), 'JSON');
  await bad(await rawFile(t, '{}', Buffer.alloc(0), 2n ** 63n), '9223372036854775808', 'limit');
  await bad(await rawFile(t, '{}', Buffer.alloc(0), 100_000_001n), 'limit');
  await bad(await rawFile(t, `{"a":${'['.repeat(50000)}${']'.repeat(50000)}}`), 'tensor a', 'a list');
  const folder = await newFolder(t);
  const pointer = join(folder, 'pointer.safetensors');
  await writeFile(pointer, 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n');
  await bad(pointer, 'Git LFS pointer');
  await bad(folder);
  await refuses(t, 'KEXA_NOT_FOUND', ['none.safetensors'], () =>
    readSafetensorsHeader(join(folder, 'none.safetensors')),
  );
});

test('a damaged tensor entry is refused by name', async (t) => {
  const bad = async (entry: unknown, ...words: string[]) => {
    const path = await oneTensor(t, entry);
    await refuses(t, 'KEXA_BAD_FILE', [path, 'tensor a', ...words], () => readSafetensorsHeader(path));
  };
  await bad(null, 'an object');
  await bad(7, 'an object');
  await bad({ ...good, dtype: 5 }, 'dtype', '5');
  await bad({ ...good, dtype: undefined }, 'dtype', 'nothing');
  for (const shape of [undefined, 2, [2.5], [-2], ['2'], [null], [1e300], new Array(40).fill(1)]) {
    await bad({ ...good, shape }, 'shape');
  }
  await bad({ ...good, shape: [2 ** 40, 2 ** 40] }, 'too many elements');
  await bad({ ...good, shape: [3] }, 'takes 6 bytes', 'give 4');
  await bad({ ...good, dtype: 'F32' }, 'takes 8 bytes', 'give 4');
  for (const data_offsets of [undefined, [0], [4, 0], [-4, 0], [0.5, 4.5], ['0', '4'], [0, 4, 8], [0, 1e300]]) {
    await bad({ ...good, data_offsets }, 'data_offsets');
  }
});

test('tensors cover the data without overlap, gap or rest', async (t) => {
  const bad = async (entries: Record<string, [number, number]>, data: number, ...words: string[]) => {
    const header = Object.entries(entries).map(([name, [begin, end]]) => [
      name,
      { dtype: 'U8', shape: [end - begin], data_offsets: [begin, end] },
    ]);
    const path = await rawFile(t, JSON.stringify(Object.fromEntries(header)), Buffer.alloc(data));
    await refuses(t, 'KEXA_BAD_FILE', [path, ...words], () => readSafetensorsHeader(path));
  };
  await bad({ a: [0, 4], b: [2, 6] }, 6, 'tensor b', 'overlaps', '2 bytes');
  await bad({ a: [0, 4], b: [0, 4] }, 4, 'tensor b', 'overlaps');
  await bad({ a: [0, 4], b: [6, 8] }, 8, '2 bytes', 'tensor b', 'belong to no tensor');
  await bad({ a: [0, 4] }, 7, '3 bytes too many');
  await bad({ a: [0, 4], b: [4, 1000] }, 8, 'cut short', 'found');
});

test('a name that a header has twice is found although JSON.parse hides it', async (t) => {
  const entry = JSON.stringify(good);
  for (const again of ['a', '\\u0061']) {
    const path = await rawFile(t, `{"a":${entry},"${again}":${entry}}`, Buffer.alloc(4));
    await refuses(t, 'KEXA_BAD_FILE', [path, '"a"', 'twice'], () => readSafetensorsHeader(path));
  }
  const entriesOf = async (text: string) => {
    const found: [string, unknown][] = [];
    await readJsonEntries('x', Buffer.from(text), (key, value) => found.push([key, value]));
    return found;
  };
  t.equal(
    (await entriesOf('{"a":{"x":1,"x":2},"b":["a","a"],"c":"a\\"b"}')).length,
    3,
    'repeats further in do not count',
  );
  await refuses(t, 'KEXA_BAD_FILE', ['"\\\\" twice'], () => entriesOf('{"\\\\":1,"b,\\"":{},"\\\\":2}'));
  await refuses(t, 'KEXA_BAD_FILE', ['"__proto__" twice'], () => entriesOf('{"__proto__":1,"__proto__":2}'));
  const pairs = fc.array(fc.tuple(fc.string(), fc.json()), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(pairs, async (entries) => {
      const text = ` {${entries.map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(' ,')} }\n`;
      const isRepeated = new Set(entries.map(([key]) => key)).size < entries.length;
      const found = await entriesOf(text).catch((error: unknown) => (error as KexaError).message);
      if (isRepeated) return typeof found === 'string' && found.includes('twice');
      return JSON.stringify(found) === JSON.stringify(entries.map(([key, value]) => [key, JSON.parse(value)]));
    }),
  );
  // Whatever JSON.parse refuses is refused, and nothing else of the objects that have no key twice.
  const texts = fc.stringMatching(/^\{["a:,{}[\]1 \\]{0,12}\}$/);
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      const read = await entriesOf(text).catch((error: unknown) => (error as KexaError).message);
      try {
        const wanted = JSON.parse(text) as object;
        return typeof read === 'string' ? read.includes('twice') : read.length === Object.keys(wanted).length;
      } catch {
        return typeof read === 'string';
      }
    }),
    { numRuns: 2000 },
  );
});

test('a large header is read in pieces', async (t) => {
  const entry = (i: number) => `"layers.${i}.weight":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`;
  const count = 100_000;
  const path = await rawFile(
    t,
    `{${Array.from({ length: count }, (_, i) => entry(i)).join(',')}}`,
    Buffer.alloc(count),
  );
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  t.equal((await readSafetensorsHeader(path)).length, count);
  clearInterval(timer);
  t.ok(turns > 5, `the event loop had ${turns} turns meanwhile`);
  const many = `{${Array.from({ length: 140_000 }, (_, i) => entry(i)).join(',')}}`;
  await refuses(t, 'KEXA_BAD_FILE', ['more than 131072 tensors'], async () =>
    readSafetensorsHeader(await rawFile(t, many, Buffer.alloc(140_000))),
  );
  await refuses(t, 'KEXA_BAD_FILE', ['more than 4194304 bytes'], async () =>
    readSafetensorsHeader(await rawFile(t, `{"__metadata__":{"a":"${'x'.repeat(5_000_000)}"}}`)),
  );
});

test('hostile bytes give a KexaError or a header, and nothing else', async (t) => {
  const path = join(await newFolder(t), 'model.safetensors');
  const only = async (write: () => Promise<void>) => {
    await write();
    await readSafetensorsHeader(path).catch((error) => {
      if (!(error instanceof KexaError)) throw error;
    });
  };
  const entry = fc.record(
    {
      dtype: fc.oneof(fc.constantFrom('BF16', 'F32', 'U8', 'F4', 'constructor'), fc.jsonValue()),
      shape: fc.oneof(fc.array(fc.nat(5)), fc.jsonValue()),
      data_offsets: fc.oneof(fc.tuple(fc.nat(64), fc.nat(64)), fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  const header = fc.dictionary(fc.string(), fc.oneof(entry, fc.jsonValue()));
  const bytes = fc.uint8Array({ maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(bytes, (data) => only(() => writeFile(path, data))),
    { numRuns: 150 },
  );
  await fc.assert(
    fc.asyncProperty(bytes, bytes, (head, data) =>
      only(() => writeRawSafetensors(path, Buffer.from(head), Buffer.from(data))),
    ),
    { numRuns: 150 },
  );
  await fc.assert(
    fc.asyncProperty(header, bytes, (json, data) =>
      only(() => writeRawSafetensors(path, JSON.stringify(json), Buffer.from(data))),
    ),
    { numRuns: 300 },
  );
  t.pass('nothing else');
});

test('shards are read as one checkpoint', async (t) => {
  const folder = await newFolder(t);
  await writeSafetensors(join(folder, 'one.safetensors'), { a: zeros('BF16', [2]) });
  await writeSafetensors(join(folder, 'two.safetensors'), { b: zeros('BF16', [3]) });
  const index = (weight_map: unknown) =>
    writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map }));
  const bad = (code: string, ...words: string[]) => refuses(t, code, words, () => readCheckpoint(folder, kExaone));

  await index({ b: 'two.safetensors', a: 'one.safetensors' });
  const checkpoint = await readCheckpoint(folder, kExaone);
  t.deepEqual(checkpoint.files, [join(folder, 'one.safetensors'), join(folder, 'two.safetensors')]);
  t.equal(checkpoint.tensors.get('b')?.file, 1);

  await index({ a: 'one.safetensors', b: 'three.safetensors' });
  await bad('KEXA_NOT_FOUND', 'three.safetensors');
  await index({ a: 'one.safetensors', b: 'one.safetensors' });
  await bad('KEXA_BAD_FILE', 'index.json', 'tensor b', 'one.safetensors');
  await index({ a: 'two.safetensors', b: 'one.safetensors' });
  await bad('KEXA_BAD_FILE', 'tensor a', 'two.safetensors');
  for (const shard of ['../one.safetensors', '/etc/passwd', 'a\\b.safetensors', 'one.bin', '', 5, null]) {
    await index({ a: shard });
    await bad('KEXA_BAD_FILE', 'index.json', 'tensor a', JSON.stringify(shard));
  }
  for (const map of [undefined, [], {}, 'x']) {
    await index(map);
    await bad('KEXA_BAD_FILE', 'weight_map');
  }
  await writeSafetensors(join(folder, 'two.safetensors'), { a: zeros('BF16', [2]), b: zeros('BF16', [3]) });
  await index({ a: 'one.safetensors', b: 'two.safetensors' });
  await bad('KEXA_BAD_FILE', 'two.safetensors', 'tensor a', 'also in one.safetensors');
  await mkdir(join(folder, 'dir.safetensors'));
  await index({ a: 'dir.safetensors' });
  await bad('KEXA_BAD_FILE', 'dir.safetensors');
});

test('the shards of a real folder are all found', async (t) => {
  const { files, tensors } = await readCheckpoint(modelFolder('wide'), kExaone);
  t.equal(files.length, 3);
  t.equal(tensors.size, 1220);
});

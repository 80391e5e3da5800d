/** GGUF files of llama.cpp's quantiser and of kexa's are read as they are meant, and damaged files are refused. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import test, { type Test } from 'tape';
import { type GgufFile, readGgufFile } from '../../lib/files/gguf/gguf.js';
import { alignment, ggufHeader, type Metadata, type TensorInfo } from '../../lib/files/gguf/gguf-header.js';
import { type GgufNumbers, GgufStrings } from '../../lib/files/gguf/gguf-values.js';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { type KexaErrorCode, loadModel } from '../../lib/index.js';
import { tokenTypes } from '../../lib/text/gguf-tokenizer.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { kexa, temporaryFolder, tiny } from '../support/cli.js';
import { isSame, longPrompt, rowDifference, show } from '../support/compare.js';
import { editGguf, list, listBytes, putTogether, type Typed, text } from '../support/gguf-edit.js';
import { refuses } from '../support/small-model.js';
import { tinyGguf } from '../support/tiny-gguf.js';

const folder = new URL('../models/gguf', import.meta.url).pathname;

interface Expected {
  ids: number[];
  greedy: number[];
  margin: number[];
  logits: string;
  vocab: number;
  types: string[];
}

function floats(path: string): Float32Array {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

test("files of llama.cpp's quantiser have the logits of their exact values", async (t) => {
  const files = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Record<string, Expected>;
  t.equal(Object.keys(files).length, 3);
  for (const [name, { ids, greedy, margin, logits, vocab, types }] of Object.entries(files)) {
    const { description, config } = await openModelFolder(join(folder, name));
    const found = new Set<string>(description.tensors.map(({ type }) => type));
    t.deepEqual([...found].sort(), types.map((type) => type.toLowerCase()).sort(), `${name}: its types`);
    t.ok(config.mtp !== null && config.moe !== null && config.vocabSize === vocab);
    for (const weights of ['auto', 'f32'] as const) {
      await using model = await loadModel(join(folder, name), { threads: 1, weights });
      const { logits: rows } = await model.forward(ids);
      const difference = rowDifference(rows, floats(join(folder, logits)), vocab);
      t.ok(difference < 1e-5, `${name}, weights ${weights}: logits within ${show(difference)}`);
      const near = margin.findIndex((value) => value < 1e-3);
      const maxTokens = near < 0 ? greedy.length : near;
      for (const mtp of [false, 3] as const) {
        const answer = await model.generate(ids, { temperature: 0, maxTokens, ignoreEos: true, mtp });
        t.deepEqual(answer.ids, greedy.slice(0, maxTokens), `mtp ${mtp}: the same continuation`);
      }
    }
  }
});

test('what kexa quantize writes is the same model: text, template, answers', async (t) => {
  const file = await tinyGguf(t);
  await using from = await loadModel(tiny, { threads: 1, weights: 'q8' });
  await using read = await loadModel(file, { threads: 1 });
  const { files: _, tensors: __, ...wanted } = (await openModelFolder(tiny)).description;
  const { files, tensors, ...shape } = (await openModelFolder(file)).description;
  t.deepEqual(shape, wanted, 'the same description');
  t.deepEqual(files, [file]);
  t.ok(tensors.some(({ type }) => type === 'q8_0'));

  const texts = [
    'In the beginning God created the heaven and the earth.',
    ' leading, trailing  and    double spaces \n\n\tand\r\nlines ',
    'how do I insert a table in a document without a mouse 3.14159 100%',
    '표를 삽입하려면 어떻게 하나요? ',
    'é e\u0301 ½ 漢字 🙂 [BOS]<|user|>\nx<think></think>    y',
    '',
  ];
  for (const text of texts) {
    const ids = from.tokenizer.encode(text);
    t.deepEqual(read.tokenizer.encode(text), ids, JSON.stringify(text));
    t.deepEqual(await read.tokenizer.encodeAsync(text), ids);
    t.equal(read.tokenizer.decode(ids), from.tokenizer.decode(ids));
    t.equal(
      read.tokenizer.decode(ids, { skipSpecialTokens: true }),
      from.tokenizer.decode(ids, { skipSpecialTokens: true }),
    );
  }
  for (const thinking of [true, false]) {
    const messages = [{ role: 'user' as const, content: 'How?' }];
    t.equal(
      read.tokenizer.applyChatTemplate(messages, { thinking }),
      from.tokenizer.applyChatTemplate(messages, { thinking }),
    );
  }
  const [a, b] = [await read.forward(longPrompt('tiny')), await from.forward(longPrompt('tiny'))];
  t.ok(isSame(a.logits, b.logits), 'logits are those of the weights quantised in memory, to the bit');
  t.deepEqual(read.config.eosTokenIds.toSorted(), from.config.eosTokenIds.toSorted());

  const answer = await from.generate('Insert Fields', { temperature: 0, maxTokens: 20 });
  const run = await kexa(['generate', '-m', file, '-p', 'Insert Fields', '--temp', '0', '-n', '20', '--json']);
  t.deepEqual(JSON.parse(run.stdout).ids, answer.ids, 'on the command line too');
  const tokenized = await kexa(['tokenize', '-m', file, '-p', 'Insert Fields', '--json']);
  t.equal(tokenized.code, 0, tokenized.stderr);
  const inspected = await kexa(['inspect', file]);
  t.equal(inspected.code, 0, inspected.stderr);
  t.match(inspected.stdout, /q8_0/);

  const again = await kexa(['quantize', file, `${file}.smaller.gguf`, '--recipe', 'q4']);
  t.equal(again.code, 1);
  t.match(again.stderr, /wanted a Hugging Face folder, found a GGUF file/);

  const alone = join(temporaryFolder(t), 'model');
  mkdirSync(alone);
  cpSync(file, join(alone, 'any.gguf'));
  t.equal((await openModelFolder(alone)).folder, join(alone, 'any.gguf'), 'a folder with one such file is that model');
  cpSync(file, join(alone, 'other.gguf'));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['any.gguf', 'other.gguf'], () => openModelFolder(alone));
});

/** A file of two small tensors; `change` may spoil it. */
function smallFile(t: Test, change: (parts: { metadata: Map<string, object>; tensors: TensorInfo[] }) => void) {
  const metadata = new Map<string, object>([['general.architecture', { type: 'string', value: 'exaone-moe' }]]);
  const tensors: TensorInfo[] = [
    { name: 'a', shape: [2, 64], typeId: 8, offset: 0 },
    { name: 'b', shape: [3, 5], typeId: 0, offset: 160 },
  ];
  change({ metadata, tensors });
  const header = ggufHeader(metadata as unknown as Metadata, tensors);
  const path = join(temporaryFolder(t), 'small.gguf');
  writeFileSync(path, Buffer.concat([header, Buffer.alloc(160 + 60)]));
  return path;
}

test('a damaged file is refused, and says where', async (t) => {
  const good = smallFile(t, () => {});
  const { tensors, metadata } = await readGgufFile(good);
  t.equal(metadata.get('general.architecture'), 'exaone-moe');
  t.deepEqual(
    tensors.map(({ name, dtype, shape, bytes }) => [name, dtype, shape, bytes]),
    [
      ['a', 'q8_0', [2, 64], 136],
      ['b', 'f32', [3, 5], 60],
    ],
  );
  const bytes = readFileSync(good);
  const spoilt = async (code: KexaErrorCode, words: string[], change: (copy: Buffer) => Buffer | undefined) => {
    const copy = Buffer.from(bytes);
    const path = join(temporaryFolder(t), 'spoilt.gguf');
    writeFileSync(path, change(copy) ?? copy);
    await refuses(t, code, ['spoilt.gguf', ...words], () => readGgufFile(path));
  };
  await spoilt('KEXA_BAD_FILE', ['not a GGUF file'], (copy) => void copy.write('GGML'));
  await spoilt('KEXA_UNSUPPORTED', ['version 1'], (copy) => void copy.writeUInt32LE(1, 4));
  await spoilt('KEXA_UNSUPPORTED', ['big-endian'], (copy) => void copy.writeUInt32BE(3, 4));
  await spoilt('KEXA_BAD_FILE', ['tensors', 'do not fit'], (copy) => void copy.writeUInt32LE(2 ** 31, 8));
  await spoilt('KEXA_BAD_FILE', ['tensor count', 'out of range'], (copy) => void copy.fill(0xff, 8, 16));
  await spoilt('KEXA_BAD_FILE', ['keys', 'do not fit'], (copy) => void copy.writeUInt32LE(2 ** 31, 16));
  await spoilt('KEXA_BAD_FILE', ['key 0'], (copy) => void copy.writeUInt32LE(2 ** 30, 24));
  const headerEnd = bytes.length - 220;
  for (let length = 0; length < bytes.length; length += length < headerEnd ? 1 : 16) {
    const path = join(temporaryFolder(t), 'short.gguf');
    writeFileSync(path, bytes.subarray(0, length));
    try {
      await readGgufFile(path);
      t.fail(`${length} of ${bytes.length} bytes are taken`);
    } catch (error) {
      if ((error as { code?: string }).code !== 'KEXA_BAD_FILE') t.fail(`${length} bytes: ${error}`);
    }
  }
  t.pass('a file cut anywhere is refused');

  const wrong = async (
    code: KexaErrorCode,
    words: string[],
    change: (parts: { metadata: Map<string, object>; tensors: TensorInfo[] }) => void,
  ) => await refuses(t, code, words, () => readGgufFile(smallFile(t, change)));
  await wrong('KEXA_BAD_FILE', ['tensor a', 'twice'], ({ tensors }) => tensors.push({ ...tensors[0]!, offset: 160 }));
  await wrong('KEXA_BAD_FILE', ['tensor b', 'overlaps', 'by 8 bytes'], ({ tensors }) => {
    tensors[1] = { ...tensors[1]!, offset: 128 };
  });
  await wrong('KEXA_BAD_FILE', ['tensor b', 'alignment'], ({ tensors }) => {
    tensors[1] = { ...tensors[1]!, offset: 161 };
  });
  await wrong('KEXA_BAD_FILE', ['tensor b', 'cut short'], ({ tensors }) => {
    tensors[1] = { ...tensors[1]!, offset: 160 + alignment };
  });
  await wrong('KEXA_BAD_FILE', ['rows of 48', 'blocks of 32'], ({ tensors }) => {
    tensors[0] = { ...tensors[0]!, shape: [2, 48] };
  });
  await wrong('KEXA_BAD_FILE', ['dimensions', '5'], ({ tensors }) => {
    tensors[0] = { ...tensors[0]!, shape: [1, 1, 1, 2, 64] };
  });
  await wrong('KEXA_BAD_FILE', ['too many elements'], ({ tensors }) => {
    tensors[0] = { ...tensors[0]!, shape: [2 ** 52, 64] };
  });
  await wrong('KEXA_UNSUPPORTED', ['tensor a', 'q8_1', 'q4_k'], ({ tensors }) => {
    tensors[0] = { ...tensors[0]!, typeId: 9 };
  });
  // The number -1 of types that no GGUF file has.
  await wrong('KEXA_UNSUPPORTED', ['tensor a', 'number 4294967295'], ({ tensors }) => {
    tensors[0] = { ...tensors[0]!, typeId: 2 ** 32 - 1 };
  });
  await wrong('KEXA_UNSUPPORTED', ['tensor a', 'number 99'], ({ tensors }) => {
    tensors[0] = { ...tensors[0]!, typeId: 99 };
  });
  await wrong('KEXA_BAD_FILE', ['general.alignment', '48'], ({ metadata }) =>
    metadata.set('general.alignment', { type: 'u32', value: 48 }),
  );
});

/** A file with one key, whose value is what `value` says. */
function fileOfKey(t: Test, value: Typed, more = Buffer.alloc(0)): string {
  const path = join(temporaryFolder(t), 'key.gguf');
  writeFileSync(path, Buffer.concat([putTogether({ keys: new Map([['a.b', value]]), tensors: [] }), more]));
  return path;
}

const longestHoldMs = 50;

/**
 * The longest that the event loop is held by `work`, in milliseconds. Whoever else is busy can only lengthen it: one
 * good try is enough.
 */
async function longestHold(work: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 40 && least >= longestHoldMs; tries++) {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await new Promise((done) => setTimeout(done, 20));
    delay.reset();
    await work();
    await new Promise((done) => setTimeout(done, 5));
    delay.disable();
    least = Math.min(least, delay.max / 1e6);
  }
  return least;
}

test('lists are read at the size of a real vocabulary, and stay bytes', async (t) => {
  const count = 153_600;
  const words = Array.from({ length: count }, (_, i) => `t${i}${i % 7 === 0 ? '표' : ''}`);
  const keys = new Map<string, Typed>([
    ['general.architecture', text('exaone-moe')],
    ['tokenizer.ggml.tokens', list(8, words)],
    [
      'tokenizer.ggml.merges',
      list(
        8,
        words.map((word) => `${word} ${word}`),
      ),
    ],
    [
      'tokenizer.ggml.token_type',
      list(
        5,
        words.map((_, i) => -i),
      ),
    ],
    ['flags', list(7, [true, false])],
    ['decimals', list(6, [0.1, 1e-5])],
    ['none', list(8, [])],
    ['long', list(8, ['x'.repeat(300_000), '', '마지막'])],
    ['nested', listBytes(9, 1, Buffer.concat([Buffer.from([0, 0, 0, 0]), Buffer.alloc(8)]))],
  ]);
  const path = join(temporaryFolder(t), 'vocabulary.gguf');
  writeFileSync(path, putTogether({ keys, tensors: [] }));
  let found: GgufFile | undefined;
  const held = await longestHold(async () => {
    found = await readGgufFile(path);
  });
  const { metadata } = found!;
  const tokens = metadata.get('tokenizer.ggml.tokens') as GgufStrings;
  t.ok(tokens instanceof GgufStrings && tokens.length === count);
  t.deepEqual([...tokens], words);
  t.equal(tokens.at(7), 't7표');
  t.equal(Buffer.from(tokens.bytes(7)).toString(), 't7표');
  t.equal(tokens.offsets.length, count + 1);
  t.equal(tokens.packed.length, tokens.offsets[count], 'packed without gaps');
  const types = metadata.get('tokenizer.ggml.token_type') as GgufNumbers;
  t.deepEqual([types.type, types.length, types.at(count - 1)], ['i32', count, 1 - count]);
  t.deepEqual([...(metadata.get('flags') as GgufNumbers)], [true, false]);
  t.deepEqual([...(metadata.get('decimals') as GgufNumbers)], [0.1, 1e-5]);
  t.deepEqual([...(metadata.get('none') as GgufStrings)], []);
  t.deepEqual(
    [...(metadata.get('long') as GgufStrings)].map(({ length }) => length),
    [300_000, 0, 3],
  );
  t.equal(JSON.stringify(metadata.get('nested')), '"a list of 1 lists"');
  t.ok(held < longestHoldMs, `the event loop was held for ${held.toFixed(1)} ms at most`);
});

test('counts and lengths are checked against the file before anything is kept for them', async (t) => {
  const refused = async (value: Typed, ...words: string[]) =>
    await refuses(t, 'KEXA_BAD_FILE', ['a.b', ...words], () => readGgufFile(fileOfKey(t, value)));
  const none = Buffer.alloc(0);
  for (const of of [0, 5, 7, 8, 9, 12]) await refused(listBytes(of, 2 ** 40, none), 'do not fit');
  await refused(listBytes(13, 1, Buffer.alloc(64)), 'no such type of value: 13');
  await refused({ type: 77, bytes: Buffer.alloc(64) }, 'no such type of value: 77');
  const huge = Buffer.alloc(64, 0xff);
  await refused({ type: 8, bytes: huge }, 'out of range');
  await refused(listBytes(8, 1, huge), 'out of range');
  huge.writeBigUInt64LE(2n ** 52n);
  await refused({ type: 8, bytes: huge }, 'do not fit');
  await refused(listBytes(8, 2, huge), 'do not fit');
  await refused({ type: 7, bytes: Buffer.alloc(64, 2) }, 'boolean');
  // A list of one list, again and again.
  const deep = Buffer.concat(Array.from({ length: 9 }, () => Buffer.from([9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])));
  await refused({ type: 9, bytes: deep }, 'nested more than 4 deep');
  await refused(
    listBytes(9, 3, Buffer.concat([Buffer.alloc(4), Buffer.alloc(8, 1), Buffer.alloc(64)])),
    'out of range',
  );

  const megabytes = 60;
  const flood = fileOfKey(t, listBytes(0, megabytes * 2 ** 20, Buffer.alloc(megabytes * 2 ** 20)));
  const before = process.memoryUsage();
  let list: GgufNumbers | undefined;
  const held = await longestHold(async () => {
    list = (await readGgufFile(flood)).metadata.get('a.b') as GgufNumbers;
  });
  const after = process.memoryUsage();
  t.equal(list!.length, megabytes * 2 ** 20);
  t.ok(after.heapUsed - before.heapUsed < 20 * 2 ** 20, 'no object for an entry');
  t.ok(held < longestHoldMs, `the event loop was held for ${held.toFixed(1)} ms at most`);
  const nested = fileOfKey(t, listBytes(9, 1_000_000, Buffer.alloc(12_000_000)));
  const passed = await longestHold(() => readGgufFile(nested));
  t.ok(passed < longestHoldMs, `with a million lists for ${passed.toFixed(1)} ms`);
});

test('what is no regular file is refused and not waited for', async (t) => {
  const dir = temporaryFolder(t);
  if (process.platform === 'win32') return;
  const pipe = join(dir, 'pipe.gguf');
  execFileSync('mkfifo', [pipe]);
  await refuses(t, 'KEXA_BAD_FILE', ['pipe.gguf', 'not a regular file'], () => readGgufFile(pipe));
  await refuses(t, 'KEXA_BAD_FILE', ['/dev/zero', 'not a regular file'], () => readGgufFile('/dev/zero'));
  await refuses(t, 'KEXA_BAD_FILE', ['a folder'], () => readGgufFile(dir));
  const empty = join(dir, 'empty.gguf');
  writeFileSync(empty, '');
  await refuses(t, 'KEXA_BAD_FILE', ['empty.gguf', 'not a GGUF file'], () => readGgufFile(empty));
});

test('metadata that would change the maths is refused by name', async (t) => {
  const file = await tinyGguf(t);
  const bytes = readFileSync(file);
  const dir = temporaryFolder(t);
  const path = join(dir, 'changed.gguf');
  const changed = async (code: KexaErrorCode, words: string[], change: (copy: Buffer) => void) => {
    const copy = Buffer.from(bytes);
    change(copy);
    writeFileSync(path, copy);
    await refuses(t, code, ['changed.gguf', ...words], () => loadModel(path, { threads: 1 }));
  };
  /** Where a key's value begins, behind its type. */
  const valueAt = (copy: Buffer, key: string) => {
    const at = copy.indexOf(key);
    t.ok(at > 0, key);
    return at + key.length + 4;
  };
  const setNumber = (key: string, value: number) => (copy: Buffer) =>
    void copy.writeUInt32LE(value, valueAt(copy, key));
  const rename = (key: string, to: string) => (copy: Buffer) => void copy.write(to, copy.indexOf(key));
  await changed(
    'KEXA_UNSUPPORTED',
    ['expert_gating_func', '2, sigmoid'],
    setNumber('exaone-moe.expert_gating_func', 1),
  );
  await changed('KEXA_UNSUPPORTED', ['general.architecture', 'exaone-mob', 'use llama.cpp or vLLM'], (copy) =>
    copy.write('exaone-mob', valueAt(copy, 'general.architecture') + 8),
  );
  await changed(
    'KEXA_UNSUPPORTED',
    ['exaone-moe.rope.freq_bass'],
    rename('exaone-moe.rope.freq_base', 'exaone-moe.rope.freq_bass'),
  );
  await changed(
    'KEXA_TENSOR_MISMATCH',
    ['token_embd.weight', 'wanted [4096, 128]', 'q8_0 [4096, 256]'],
    setNumber('exaone-moe.embedding_length', 128),
  );
  await changed(
    'KEXA_TENSOR_MISMATCH',
    ['blk.1.attn_q.weight', 'found nothing'],
    rename('blk.1.attn_q.weight', 'blk.1.attn_x.weight'),
  );
  await changed('KEXA_UNSUPPORTED', ['tokenizer.ggml.pre', 'exaone-mo?'], (copy) =>
    copy.write('exaone-mo?', valueAt(copy, 'tokenizer.ggml.pre') + 8),
  );
  await changed('KEXA_UNSUPPORTED', ['tokenizer.ggml.model', 'gpt3'], (copy) =>
    copy.write('gpt3', valueAt(copy, 'tokenizer.ggml.model') + 8),
  );
});

test('a part that is not there is named', async (t) => {
  const file = await tinyGguf(t);
  const dir = temporaryFolder(t);
  const part = join(dir, 'tiny-00001-of-00002.gguf');
  renameSync(file, part);
  await refuses(t, 'KEXA_BAD_FILE', ['split.no'], () => openModelFolder(part));
});

test('tokens of turns that are typed as ordinary text are read as markers, with a warning', async (t) => {
  const file = await tinyGguf(t);
  const texts = ['<|user|>\nhi<|endofturn|>\n<|assistant|>\n<think>\n', '[BOS]x<tool_call>', 'a < b | c > [d] <e>'];
  const right = await Tokenizer.open(file);
  const types = (change: (type: number, token: string) => number, name: string) =>
    editGguf(file, join(temporaryFolder(t), name), ({ keys }) => {
      const entries = (key: string) => (keys.get(`tokenizer.ggml.${key}`) as { value: readonly unknown[] }).value;
      const tokens = entries('tokens') as string[];
      const changed = (entries('token_type') as number[]).map((type, id) => change(type, tokens[id]!));
      keys.set('tokenizer.ggml.token_type', list(5, changed));
    });
  const cases: [title: string, path: string, count: number][] = [
    ['control as normal', types((type) => (type === tokenTypes.control ? 1 : type), 'normal.gguf'), 16],
    ['one alone', types((type, token) => (token === '<|user|>' ? 1 : type), 'one.gguf'), 1],
    ['a token that only the metadata names', types((type, token) => (token === '[BOS]' ? 1 : type), 'begin.gguf'), 1],
    [
      'no types at all',
      editGguf(file, join(temporaryFolder(t), 'none.gguf'), ({ keys }) => keys.delete('tokenizer.ggml.token_type')),
      16,
    ],
  ];
  for (const [title, path, count] of cases) {
    const told: string[] = [];
    const opened = await Tokenizer.open(path, { warn: (code, message) => told.push(`${code} ${message}`) });
    t.equal(told.length, 1, `${title}: one warning`);
    t.match(told[0]!, new RegExp(`^KEXA_TOKENIZER .*token_type: ${count} tokens? `), told[0]!);
    for (const text of texts) t.deepEqual(opened.encode(text), right.encode(text), `${title}: ${JSON.stringify(text)}`);
    const user = opened.tokenToId('<|user|>')!;
    t.ok(opened.isSpecial(user), `${title}: and a turn's token is special`);
  }
  const other = types((type) => (type === tokenTypes.control ? tokenTypes.userDefined : type), 'user-defined.gguf');
  const told: string[] = [];
  const opened = await Tokenizer.open(other, { warn: (_, message) => told.push(message) });
  t.deepEqual(told, [], 'tokens that users defined are nothing to warn of');
  for (const text of texts) t.deepEqual(opened.encode(text), right.encode(text), JSON.stringify(text));
});

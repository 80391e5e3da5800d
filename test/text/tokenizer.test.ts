/** Text to ids and back: `Tokenizer` and `StreamDecoder`. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Tokenizer as OtherTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import test from 'tape';
import { Tokenizer as RustTokenizer } from 'tokenizers';
import { KexaError } from '../../lib/errors.js';
import { StreamDecoder } from '../../lib/text/stream-decoder.js';
import type { TextSpan } from '../../lib/text/text-span.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { loadGoldens, modelFolder } from '../support/goldens.js';
import { hangLimit } from '../support/hang-limit.js';

const folder = modelFolder('tiny');
const file = join(folder, 'tokenizer.json');
const fields = JSON.parse(readFileSync(file, 'utf8'));
const rust = RustTokenizer.fromFile(file);
const root = new URL('../../', import.meta.url);
const tsxUrl = new URL('node_modules/tsx/dist/esm/api/index.mjs', root).href;
const moduleUrl = new URL('../../lib/text/tokenizer.ts', import.meta.url).href;

let tokenizer: Tokenizer;
test.onFinish(() => tokenizer.close());

/** A folder holding tiny's tokenizer with some fields replaced, gone after the test. */
function changedFolder(t: test.Test, change: Record<string, unknown> | string): string {
  const copy = mkdtempSync(join(tmpdir(), 'kexa-tokenizer-'));
  t.teardown(() => rmSync(copy, { recursive: true }));
  const text = typeof change === 'string' ? change : JSON.stringify({ ...fields, ...change });
  writeFileSync(join(copy, 'tokenizer.json'), text);
  return copy;
}

async function thrown(run: () => unknown): Promise<KexaError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof KexaError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('the tokenizer of the tiny model opens', async (t) => {
  tokenizer = await Tokenizer.open(folder);
  t.equal(tokenizer.vocabSize, 4096);
});

const fixedTexts = [
  '',
  ' ',
  'In the beginning God created',
  "It's what they've said; I'd say we'll see.",
  '한국어 문장은 띄어쓰기로 이어지는 하나의 조각이 됩니다',
  '안녕하세요! K-EXAONE은 LG AI연구원의 모델입니다.',
  '한글'.normalize('NFD'),
  'é e\u0301 Å ﬁ ２',
  '👩‍👩‍👧‍👦 🇰🇷 👍🏽 🙂🙂',
  '3.14159 1,234,567 2026년 11월 23일',
  'function f(a) {\n\treturn a[0] !== null && a.length >= 2; // ok\n}\n',
  'a  b   c    d\t\te\r\n\r\n  f \n \n',
  'path/to/file\n/usr/bin\r',
  '<|user|>\n안녕<|endofturn|>\n<|assistant|>\n<think>\n',
  'x<think>y</think>z <tool_call>{"name": "f"}</tool_call> [BOS][EOS]',
  '<think <|user| |> <unused7><unused700>',
  '\ufeffbom \u0000nul \u200b zero \u3000wide',
  'Ġthe Ċ are letters too',
  '日本語と中文 عربى हिन्दी ไทย Ελληνικά',
  '가나다라마바사 아자차카타파하 '.repeat(40),
];

const alphabet = [
  ...[
    'the ',
    'and',
    ' God',
    '\n',
    '  ',
    '\t',
    '\r\n',
    "'s",
    '. ',
    ', ',
    '/',
    '0',
    '42',
    'é',
    'e\u0301',
    'ß',
    '漢',
    '🙂',
    '👍🏽',
  ],
  ...[
    '하나님이',
    ' 이르시되',
    '가',
    '힣',
    'ᄒ',
    'ᅡ',
    'ᆫ',
    'ㅎ',
    '<think>',
    '</think>',
    '<|user|>',
    '<tool_call>',
    '<',
    '|>',
    '\u00a0',
    '\u200d',
  ],
];
const mixedText = fc.array(fc.constantFrom(...alphabet), { maxLength: 40 }).map((parts) => parts.join(''));
const anyText = fc.string({ unit: 'binary', maxLength: 60 });

test('the goldens texts give the goldens ids', async (t) => {
  const prompts = loadGoldens('tiny').prompts.filter((prompt) => prompt.text !== undefined);
  t.ok(prompts.length > 0, `${prompts.length} texts`);
  for (const { text, ids } of prompts) {
    t.deepEqual(tokenizer.encode(text!), ids, JSON.stringify(text));
    t.deepEqual(await tokenizer.encodeAsync(text!), ids, 'and asynchronously');
  }
  for (const { greedy, greedyText } of prompts)
    if (greedyText !== undefined) t.equal(tokenizer.decode(greedy), greedyText);
});

test('ids are those of an independent tokenizer on varied texts', (t) => {
  const other = new OtherTokenizer(fields, {});
  const check = (text: string) => {
    const expected = other.encode(text, { add_special_tokens: false }).ids;
    const found = tokenizer.encode(text);
    if (JSON.stringify(found) !== JSON.stringify(expected))
      throw new Error(`${JSON.stringify(text)}: ${found} instead of ${expected}`);
  };
  for (const text of fixedTexts) t.doesNotThrow(() => check(text), JSON.stringify(text).slice(0, 50));
  t.doesNotThrow(() => fc.assert(fc.property(mixedText, check), { numRuns: 300 }), 'on 300 random mixtures');
  t.end();
});

test('a text and its NFC form have the same ids, and decoding gives the NFC form back', (t) => {
  const check = (text: string) => {
    const ids = tokenizer.encode(text);
    return (
      tokenizer.decode(ids) === text.normalize('NFC') &&
      JSON.stringify(tokenizer.encode(text.normalize('NFC'))) === JSON.stringify(ids)
    );
  };
  for (const text of fixedTexts) t.ok(check(text), JSON.stringify(text).slice(0, 50));
  t.doesNotThrow(() => fc.assert(fc.property(mixedText, check), { numRuns: 200 }), 'on 200 random mixtures');
  t.end();
});

test('a lone surrogate is read as U+FFFD', async (t) => {
  t.equal(tokenizer.decode(tokenizer.encode('a\ud800b\udfff')), 'a\ufffdb\ufffd');
  t.deepEqual(await tokenizer.encodeAsync('a\ud800b'), tokenizer.encode('a\ufffdb'));
  t.end();
});

test('decode gives what the library gives, specials and broken UTF-8 included', async (t) => {
  const id = fc.oneof(fc.integer({ min: 0, max: 70 }), fc.integer({ min: 0, max: 4095 }));
  // Ids 64 to 319 are the single bytes.
  const byteId = fc.integer({ min: 64, max: 319 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(id, byteId), { maxLength: 30 }),
      fc.boolean(),
      async (ids, skipSpecialTokens) => {
        return tokenizer.decode(ids, { skipSpecialTokens }) === (await rust.decode(ids, skipSpecialTokens));
      },
    ),
    { numRuns: 500 },
  );
  const ids = tokenizer.encode('<|user|>\nhi<|endofturn|>');
  t.equal(tokenizer.decode(ids), '<|user|>\nhi<|endofturn|>');
  t.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), '\nhi');
  t.equal(tokenizer.decode(Uint32Array.from(ids)), '<|user|>\nhi<|endofturn|>', 'typed arrays are taken too');
});

test('added tokens outside the byte alphabet decode to their own text', async (t) => {
  const added = ['    ', '한글', '🙂!'].map((content, i) => ({
    ...fields.added_tokens[0],
    id: tokenizer.vocabSize + i,
    content,
    special: false,
  }));
  const copy = changedFolder(t, { added_tokens: [...fields.added_tokens, ...added] });
  const wider = await Tokenizer.open(copy);
  const text = 'x    y 한글 é 🙂!';
  const ids = await wider.encodeAsync(text);
  t.ok(
    added.every(({ id }) => ids.includes(id)),
    'they are split out of the text',
  );
  t.equal(wider.decode(ids, { skipSpecialTokens: true }), text, 'and kept, not being special');
  t.equal(await RustTokenizer.fromFile(join(copy, 'tokenizer.json')).decode(ids, true), text);
});

test('ids and tokens are looked up both ways', (t) => {
  t.equal(tokenizer.tokenToId('<think>'), 54);
  t.equal(tokenizer.idToToken(54), '<think>');
  t.equal(tokenizer.tokenToId('no such token'), null);
  for (const id of [4096, -1, 1.5, Number.NaN]) t.equal(tokenizer.idToToken(id), null, `no token ${id}`);
  t.ok(tokenizer.isSpecial(53));
  t.notOk(tokenizer.isSpecial(64));
  t.end();
});

test('unknown ids and texts that are no strings are refused', async (t) => {
  for (const id of [4096, -1, 0.5, 2 ** 33]) {
    const error = await thrown(() => tokenizer.decode([64, id]));
    t.equal(error.code, 'KEXA_INVALID_ARGUMENT');
    t.ok(error.message.includes(String(id)) && error.message.includes('4096'), error.message);
  }
  for (const text of [undefined, null, 5, ['a']]) {
    t.equal((await thrown(() => tokenizer.encode(text as unknown as string))).code, 'KEXA_INVALID_ARGUMENT');
    t.equal((await thrown(() => tokenizer.encodeAsync(text as unknown as string))).code, 'KEXA_INVALID_ARGUMENT');
  }
});

test('the tokenizer must fit the vocabulary of the model', async (t) => {
  t.doesNotThrow(() => tokenizer.checkVocab(4096));
  t.doesNotThrow(() => tokenizer.checkVocab(5000), 'a padded embedding is fine');
  const error = await thrown(() => tokenizer.checkVocab(4095));
  t.equal(error.code, 'KEXA_BAD_TOKENIZER');
  t.ok(error.message.includes('4095') && error.message.includes(file), error.message);
});

test('a folder without a usable tokenizer is refused, naming the file', async (t) => {
  const cases: [string, string, Record<string, unknown> | string][] = [
    ['KEXA_BAD_TOKENIZER', 'text that is not JSON', '{"model": '],
    ['KEXA_BAD_TOKENIZER', 'JSON that is no tokenizer', '{"decoder": {"type": "ByteLevel"}}'],
    ['KEXA_BAD_TOKENIZER', 'JSON that is no object', '[1]'],
    [
      'KEXA_BAD_TOKENIZER',
      'added ids the library would change',
      { added_tokens: [{ ...fields.added_tokens[0], id: 9000, content: '<new>' }] },
    ],
    ['KEXA_UNSUPPORTED', 'no decoder', { decoder: null }],
    [
      'KEXA_UNSUPPORTED',
      'Metaspace',
      { decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true } },
    ],
    [
      'KEXA_UNSUPPORTED',
      'ByteFallback',
      { decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] } },
    ],
  ];
  for (const [code, title, change] of cases) {
    const copy = changedFolder(t, change);
    const error = await thrown(() => Tokenizer.open(copy));
    t.equal(error.code, code, title);
    t.ok(error.message.includes(join(copy, 'tokenizer.json')), error.message);
    if (code === 'KEXA_UNSUPPORTED')
      t.ok(error.message.includes(title === 'no decoder' ? 'none' : title), 'it names the decoder');
  }
  const missing = await thrown(() => Tokenizer.open(join(folder, 'missing')));
  t.equal(missing.code, 'KEXA_NOT_FOUND');
  t.ok(missing.message.includes(join(folder, 'missing', 'tokenizer.json')), missing.message);
});

test('a byte-level decoder inside a sequence is taken', async (t) => {
  const decoder = { type: 'Sequence', decoders: [fields.decoder, { type: 'Fuse' }] };
  const opened = await Tokenizer.open(changedFolder(t, { decoder }));
  t.equal(opened.decode(tokenizer.encode('안녕 world')), '안녕 world');
});

test('a length limit left in tokenizer.json does not cut prompts', async (t) => {
  const truncation = { direction: 'Right', max_length: 4, strategy: 'LongestFirst', stride: 0 };
  const opened = await Tokenizer.open(changedFolder(t, { truncation }));
  t.teardown(() => opened.close());
  const text = 'In the beginning God created the heaven and the earth.';
  t.ok(tokenizer.encode(text).length > 4);
  t.deepEqual(await opened.encodeAsync(text), tokenizer.encode(text));
  t.deepEqual(opened.encode(text), tokenizer.encode(text));
});

test('400,000 characters of unpunctuated Korean encode off the event loop', async (t) => {
  const syllables = Array.from({ length: 400_000 }, (_, i) => String.fromCharCode(0xac00 + ((i * 7919) % 11172)));
  const text = syllables.join('');
  let last = performance.now();
  let lag = 0;
  const timer = setInterval(() => {
    lag = Math.max(lag, performance.now() - last);
    last = performance.now();
  }, 5);
  const [started, before] = [performance.now(), process.cpuUsage()];
  const ids = await tokenizer.encodeAsync(text);
  const took = performance.now() - started;
  // The processor's time: on a busy machine the clock goes on while others work.
  const worked = process.cpuUsage(before).user / 1000;
  lag = Math.max(lag, performance.now() - last);
  clearInterval(timer);
  t.ok(worked < 8000, `took ${worked.toFixed(0)} ms of the processor`);
  t.ok(lag < Math.max(400, took / 2), `the event loop stood still for ${lag.toFixed(0)} ms at most`);
  t.equal(tokenizer.decode(ids), text);
});

test('streaming gives the whole text at every split, without half characters', (t) => {
  const ids = tokenizer.encode(fixedTexts.slice(2, 19).join('\n'));
  const whole = tokenizer.decode(ids);
  t.notOk(whole.includes('\ufffd'), 'the text is valid');
  const broken: number[] = [];
  for (let split = 0; split <= ids.length; split++) {
    const decoder = new StreamDecoder(tokenizer);
    const head = decoder.push(ids.slice(0, split));
    const tail = decoder.push(ids.slice(split));
    if (head + tail !== whole || head.includes('\ufffd') || decoder.flush() !== '') broken.push(split);
  }
  t.deepEqual(broken, []);
  const decoder = new StreamDecoder(tokenizer);
  const pieces = ids.map((id) => decoder.push([id]));
  t.ok(pieces.includes(''), 'some tokens end inside a character');
  t.equal(pieces.join('') + decoder.flush(), whole, 'token by token');
  t.notOk(pieces.join('').includes('\ufffd'));
  t.end();
});

test('streaming equals decode for any ids and any chunks', (t) => {
  const id = fc.oneof(fc.integer({ min: 0, max: 4095 }), fc.integer({ min: 64, max: 319 }));
  const chunks = fc.array(fc.array(id, { maxLength: 6 }), { maxLength: 12 });
  const property = fc.property(chunks, fc.boolean(), (parts, skipSpecialTokens) => {
    const decoder = new StreamDecoder(tokenizer, { skipSpecialTokens });
    const streamed = parts.map((part) => decoder.push(part)).join('') + decoder.flush();
    return streamed === tokenizer.decode(parts.flat(), { skipSpecialTokens });
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }));
  const texts = fc.property(anyText, (text) => {
    const decoder = new StreamDecoder(tokenizer);
    const ids = tokenizer.encode(text);
    return ids.map((one) => decoder.push([one])).join('') + decoder.flush() === text.normalize('NFC');
  });
  t.doesNotThrow(() => fc.assert(texts, { numRuns: 100 }), 'and for any text');
  t.end();
});

test('a text that ends inside a character ends in one U+FFFD when flushed', (t) => {
  const ids = tokenizer.encode('🙂');
  t.ok(ids.length > 1, 'the character takes several tokens');
  const decoder = new StreamDecoder(tokenizer);
  t.equal(decoder.push(ids.slice(0, -1)), '');
  t.equal(decoder.flush(), '\ufffd');
  t.equal(decoder.push(ids), '🙂', 'and the decoder can be used again');
  t.end();
});

test('a stream drops special tokens but for the kept ones', (t) => {
  const ids = tokenizer.encode('<|assistant|><think>a</think>b<|endofturn|>');
  const read = (decoder: StreamDecoder) => decoder.push(ids) + decoder.flush();
  t.equal(read(new StreamDecoder(tokenizer)), '<|assistant|><think>a</think>b<|endofturn|>');
  t.equal(read(new StreamDecoder(tokenizer, { skipSpecialTokens: true })), 'ab');
  const keep = ['<think>', '</think>', 'no such token'];
  t.equal(read(new StreamDecoder(tokenizer, { skipSpecialTokens: true, keep })), '<think>a</think>b');
  t.end();
});

test('an unknown id in a push leaves the stream as it was', (t) => {
  const ids = tokenizer.encode('한글');
  const decoder = new StreamDecoder(tokenizer);
  t.throws(() => decoder.push([...ids, 9999]), KexaError);
  t.equal(decoder.push(ids) + decoder.flush(), '한글');
  t.end();
});

test('streaming time is linear over 262,144 tokens', (t) => {
  const pattern = tokenizer.encode('하나님이 이르시되 빛이 있으라 하시니 🙂 and there was light.\n');
  const time = (count: number) => {
    const decoder = new StreamDecoder(tokenizer);
    const started = performance.now();
    let length = 0;
    for (let i = 0; i < count; i++) length += decoder.push([pattern[i % pattern.length]!]).length;
    length += decoder.flush().length;
    return { ms: performance.now() - started, length };
  };
  time(20_000);
  // Whatever else the machine does can only add to a time; quadratic work is 16 times as long every time.
  const short = Math.min(time(65_536).ms, time(65_536).ms);
  let ratio = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 5 && ratio >= 8; tries++) {
    const { ms, length } = time(262_144);
    t.ok(length > 262_144 / 4, `${length} characters`);
    ratio = Math.min(ratio, ms / short);
  }
  t.ok(ratio < 8, `four times the tokens took ${ratio.toFixed(1)} times as long`);
  t.end();
});

test('encode works inside a worker thread', { timeout: hangLimit }, async (t) => {
  const source = `
    const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(tsxUrl)}).then(async ({ tsImport }) => {
      const { Tokenizer } = await tsImport(${JSON.stringify(moduleUrl)}, ${JSON.stringify(import.meta.url)});
      const tokenizer = await Tokenizer.open(${JSON.stringify(folder)});
      parentPort.postMessage(tokenizer.encode('안녕 세계'));
    });`;
  const worker = new Worker(source, { eval: true, execArgv: [] });
  const [ids, code] = await Promise.all([
    new Promise((done, fail) => worker.once('message', done).once('error', fail)),
    new Promise((done) => worker.once('exit', done)),
  ]);
  t.deepEqual(ids, tokenizer.encode('안녕 세계'));
  t.equal(code, 0, 'which then ends by itself');
});

test('a process ends by itself after encode', (t) => {
  const source = `
    import { Tokenizer } from ${JSON.stringify(moduleUrl)};
    const tokenizer = await Tokenizer.open(${JSON.stringify(folder)});
    console.log(JSON.stringify(tokenizer.encode('안녕 세계')));`;
  const output = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', source], {
    encoding: 'utf8',
    cwd: root,
    timeout: hangLimit,
  });
  t.deepEqual(JSON.parse(output), tokenizer.encode('안녕 세계'));
  t.end();
});

test('a folder that moves or changes after opening changes nothing', async (t) => {
  const copy = changedFolder(t, {});
  const opened = await Tokenizer.open(copy);
  writeFileSync(join(copy, 'tokenizer.json'), '{}');
  t.deepEqual(opened.encode('안녕 세계'), tokenizer.encode('안녕 세계'), 'the file is read once');
  rmSync(join(copy, 'tokenizer.json'));
  t.deepEqual(opened.encode('In the beginning'), tokenizer.encode('In the beginning'));
  t.deepEqual(await opened.encodeAsync('In the beginning'), tokenizer.encode('In the beginning'));
});

test('a closed tokenizer encodes no more and still decodes', async (t) => {
  const opened = await Tokenizer.open(folder);
  const ids = opened.encode('hello');
  opened.close();
  opened.close();
  t.equal((await thrown(() => opened.encode('hello'))).code, 'KEXA_CLOSED');
  t.equal((await thrown(() => opened.encodeAsync('hello'))).code, 'KEXA_CLOSED');
  t.equal(opened.decode(ids), 'hello');
});

/** tiny with `<think>` and its like no special tokens, as some models have them, and one token that nothing names. */
async function withMarkers(t: test.Test): Promise<Tokenizer> {
  const copy = changedFolder(t, {
    added_tokens: [
      ...fields.added_tokens.map((token: { content: string }) =>
        /think|tool_call/.test(token.content) ? { ...token, special: false } : token,
      ),
      { ...fields.added_tokens[0], id: 4096, content: '<plain>', special: false },
    ],
  });
  cpSync(join(folder, 'chat_template.jinja'), join(copy, 'chat_template.jinja'));
  const opened = await Tokenizer.open(copy);
  t.teardown(() => opened.close());
  return opened;
}

test('spans say which added tokens a part of a text may become', async (t) => {
  const opened = await withMarkers(t);
  const markers = ['<|user|>', '<think>', '<plain>'];
  const text = markers.join('x');
  const found = (allow: TextSpan['allow']) => {
    const ids = opened.encode(text, { spans: [{ start: 0, end: text.length, allow }] });
    t.equal(opened.decode(ids), text, `${allow}: the text is whole`);
    return markers.filter((marker) => ids.includes(opened.tokenToId(marker)!));
  };
  t.deepEqual(found('all'), markers);
  t.deepEqual(found('markers'), ['<think>', '<plain>'], 'no special token');
  t.deepEqual(found('none'), ['<plain>'], 'none that is special or that the template names');
  t.deepEqual(opened.encode(text, { spans: [{ start: 0, end: text.length, allow: 'all' }] }), opened.encode(text));
  const spans: TextSpan[] = [
    { start: 0, end: 9, allow: 'none' },
    { start: 9, end: text.length, allow: 'all' },
  ];
  t.deepEqual(await opened.encodeAsync(text, { spans }), opened.encode(text, { spans }), 'the same off the loop');
});

test('a token that lies in several spans needs the leave of each', async (t) => {
  const opened = await withMarkers(t);
  const text = '가<|user|>나';
  const id = opened.tokenToId('<|user|>')!;
  const at = (cut: number, before: TextSpan['allow'], after: TextSpan['allow']) =>
    opened
      .encode(text, {
        spans: [
          { start: 0, end: cut, allow: before },
          { start: cut, end: cut, allow: 'none' },
          { start: cut, end: text.length, allow: after },
        ],
      })
      .includes(id);
  for (let cut = 0; cut <= text.length; cut++) {
    t.ok(at(cut, 'all', 'all'), `all and all, cut at ${cut}; an empty span says nothing`);
    t.equal(at(cut, 'none', 'all'), cut <= 1, `none, then all, cut at ${cut}`);
    t.equal(at(cut, 'all', 'markers'), cut >= 9, `all, then markers, cut at ${cut}`);
  }
});

test('ordinary text has the same ids in any spans', (t) => {
  const allow = fc.constantFrom<TextSpan['allow']>('all', 'markers', 'none');
  const property = fc.property(
    fc.oneof(
      anyText,
      mixedText.map((text) => text.replace(/[<>]/g, '')),
    ),
    fc.array(fc.tuple(fc.nat(), allow), { minLength: 1, maxLength: 6 }),
    (text, cuts) => {
      const ends = cuts.map(([cut]) => (text.length === 0 ? 0 : cut % text.length)).sort((a, b) => a - b);
      ends[ends.length - 1] = text.length;
      const spans = ends.map((end, i) => ({ start: ends[i - 1] ?? 0, end, allow: cuts[i]![1] }));
      return JSON.stringify(tokenizer.encode(text, { spans })) === JSON.stringify(tokenizer.encode(text));
    },
  );
  t.doesNotThrow(() => fc.assert(property, { numRuns: 300 }));
  t.end();
});

test('an added token of the normalised text obeys spans too', async (t) => {
  const content = '<é>';
  const copy = changedFolder(t, {
    added_tokens: [
      ...fields.added_tokens,
      { ...fields.added_tokens[0], id: 4096, content, special: true, normalized: true },
    ],
  });
  const opened = await Tokenizer.open(copy);
  const library = RustTokenizer.fromFile(join(copy, 'tokenizer.json'));
  for (const text of ['a<é>b', 'a<e\u0301>b', '<e\u0301><é>', 'e\u0301<é\u0323>', '가<e\u0301>\u0301']) {
    const ids = (await library.encode(text, null, { addSpecialTokens: false })).getIds();
    t.deepEqual(opened.encode(text), ids, JSON.stringify(text));
  }
  const text = 'o\u0301e\u0301<e\u0301>';
  const guarded = (cut: number) =>
    opened
      .encode(text, {
        spans: [
          { start: 0, end: cut, allow: 'none' },
          { start: cut, end: text.length, allow: 'all' },
        ],
      })
      .includes(4096);
  for (let cut = 0; cut <= text.length; cut++) t.equal(guarded(cut), cut <= 4, `guarded up to ${cut}`);
});

test('spans that do not cover the text are refused', async (t) => {
  const cases: TextSpan[][] = [
    [],
    [{ start: 0, end: 2, allow: 'all' }],
    [{ start: 1, end: 3, allow: 'all' }],
    [{ start: 0, end: 4, allow: 'all' }],
    [{ start: 0, end: 1.5, allow: 'all' }],
    [{ start: 0, end: 3, allow: 'some' as 'all' }],
    [
      { start: 0, end: 2, allow: 'all' },
      { start: 1, end: 3, allow: 'all' },
    ],
  ];
  for (const spans of cases) {
    const error = await thrown(() => tokenizer.encode('abc', { spans }));
    t.equal(error.code, 'KEXA_INVALID_ARGUMENT', error.message);
  }
});

/** kexa's own byte-level BPE against the library that models were trained with, and against hostile files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { nfcNormalizer, nfkcNormalizer, Tokenizer as RustTokenizer } from 'tokenizers';
import { KexaError } from '../../lib/errors.js';
import { readTokenizerFile } from '../../lib/text/tokenizer-fields.js';
import { differences, everyWay, exaone3Steps, libraryIds, load, testHardTexts } from '../support/bpe-library.js';
import { byteVocabulary, hardTexts, tokenizerJson } from '../support/bpe-texts.js';
import { randomNumbers } from '../support/compare.js';
import { hangLimit } from '../support/hang-limit.js';
import { modelFolder } from '../support/models.js';

const tinyJson = readFileSync(join(modelFolder('tiny'), 'tokenizer.json'), 'utf8');

testHardTexts(1500);

test('both spellings of a split at digits are one', async (t) => {
  for (const spelling of ['Digits', 'Split'] as const) {
    const json = JSON.stringify(tokenizerJson(byteVocabulary(), [], exaone3Steps(spelling)));
    const { source } = await readTokenizerFile('tokenizer.json', Buffer.from(json));
    t.deepEqual([source.normalForm, source.split], ['nfkc', 'exaone'], spelling);
  }
});

test('40 vocabularies that no trainer would make have the library’s ids', async (t) => {
  const random = randomNumbers(1);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <Item>(items: readonly Item[]): Item => items[below(items.length)]!;
  const wrong: string[] = [];
  for (let v = 0; v < 40; v++) {
    const alphabet = pick([['a'], ['a', 'b'], ['a', 'b', 'c']]);
    const vocab = byteVocabulary();
    const tokens = [...alphabet];
    const merges: [string, string][] = [];
    for (let k = 5 + below(150); k > 0; k--) {
      const [left, right] = [pick(tokens), pick(tokens)];
      if (left.length + right.length > 24) continue;
      if (!(left + right in vocab)) {
        vocab[left + right] = Object.keys(vocab).length;
        tokens.push(left + right);
      }
      merges.push([left, right]);
    }
    // Other ways to the same tokens, pairs that are given twice, and places among merges in any order.
    for (let k = below(40); k > 0; k--) {
      const token = pick(tokens);
      const cut = 1 + below(token.length);
      const [left, right] = [token.slice(0, cut), token.slice(cut)];
      if (left in vocab && right in vocab) merges.push([left, right]);
    }
    for (let k = below(10); k > 0 && merges.length > 0; k--) merges.push(pick(merges));
    if (v % 2 === 1) merges.sort(() => random() - 0.5);
    const json = JSON.stringify(tokenizerJson(vocab, v % 3 === 0 ? merges.map((pair) => pair.join(' ')) : merges));
    const texts = Array.from({ length: 60 }, (_, i) => {
      const unit = Array.from({ length: 1 + below(5) }, () => pick(alphabet)).join('');
      let text = '';
      for (const length = below(i < 50 ? 120 : 4000); text.length < length; ) text += below(3) ? unit : pick(alphabet);
      return text;
    });
    const wanted = await libraryIds(RustTokenizer.fromString(json), texts);
    const tokenizer = await load(json);
    for (const [way, limits] of Object.entries(everyWay))
      wrong.push(...differences(tokenizer, texts, wanted, limits).map((line) => `vocabulary ${v}, ${way}: ${line}`));
  }
  t.deepEqual(wrong.slice(0, 5), []);
});

test('normalisation is the library’s, for every character and for sequences', async (t) => {
  const marks = ['\u0334', '\u0315', '\u0323', '\u0301', '\u3099', '\u11a8'];
  const characters: string[] = [];
  for (let code = 0; code < 0x110000; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const character = String.fromCodePoint(code);
    // With a mark before and behind it, since a character may change places with one, or be joined to it.
    characters.push(`q${marks[code % 6]}${character}${marks[(code + 1) % 6]}${character}`);
  }
  const texts = hardTexts(3000, ['<|user|>'], 3);
  for (let i = 0; i < characters.length; i += 512) texts.push(characters.slice(i, i + 512).join(''));
  for (const [type, normalizer] of [
    ['NFC', nfcNormalizer()],
    ['NFKC', nfkcNormalizer()],
  ] as const) {
    const tokenizer = await load(
      JSON.stringify(
        tokenizerJson(byteVocabulary(), [], { normalizer: { type: 'Sequence', normalizers: [{ type }] } }),
      ),
    );
    const wrong = texts.filter((text) => {
      const whole = Buffer.from(text).toString('utf8');
      // Token i is byte i.
      const ids = tokenizer.encode({ text: whole, spans: new Uint32Array() });
      return Buffer.from(ids).toString('utf8') !== normalizer.normalizeString(whole);
    });
    t.deepEqual(wrong.slice(0, 3), [], `${type}: ${texts.length} texts`);
  }
});

test('files that would give other ids are refused, naming the field', async (t) => {
  const vocab = byteVocabulary();
  const model = (change: Record<string, unknown>) => ({ model: { type: 'BPE', vocab, merges: [], ...change } });
  const token = { id: 256, content: '<x>', special: true };
  const split = (change: Record<string, unknown>) => ({
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: '(a+)+b' }, behavior: 'Isolated', invert: false, ...change },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ],
    },
  });
  const { a: _, ...lacking } = vocab;
  const cases: [code: string, names: string, change: Record<string, unknown>][] = [
    ['KEXA_UNSUPPORTED', 'model.type', model({ type: 'Unigram' })],
    ['KEXA_UNSUPPORTED', 'model.unk_token', model({ unk_token: '<unk>' })],
    ['KEXA_UNSUPPORTED', 'model.continuing_subword_prefix', model({ continuing_subword_prefix: '##' })],
    ['KEXA_UNSUPPORTED', 'model.end_of_word_suffix', model({ end_of_word_suffix: '</w>' })],
    ['KEXA_UNSUPPORTED', 'model.byte_fallback', model({ byte_fallback: true })],
    ['KEXA_UNSUPPORTED', 'model.ignore_merges', model({ ignore_merges: true })],
    ['KEXA_UNSUPPORTED', 'normalizer', { normalizer: { type: 'Lowercase' } }],
    ['KEXA_UNSUPPORTED', 'pre_tokenizer', { pre_tokenizer: null }],
    ['KEXA_UNSUPPORTED', 'pre_tokenizer: pattern', split({})],
    ['KEXA_UNSUPPORTED', 'pre_tokenizer: behavior', split({ behavior: 'Removed' })],
    ['KEXA_UNSUPPORTED', 'pre_tokenizer: invert', split({ invert: true })],
    [
      'KEXA_UNSUPPORTED',
      'add_prefix_space',
      { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, use_regex: true } },
    ],
    ['KEXA_UNSUPPORTED', 'added_tokens[0].lstrip', { added_tokens: [{ ...token, lstrip: true }] }],
    ['KEXA_UNSUPPORTED', 'added_tokens[0].single_word', { added_tokens: [{ ...token, single_word: true }] }],
    ['KEXA_BAD_TOKENIZER', 'added_tokens', { added_tokens: 'none' }],
    ['KEXA_BAD_TOKENIZER', 'added_tokens[0].content', { added_tokens: [{ ...token, content: '' }] }],
    ['KEXA_BAD_TOKENIZER', 'added_tokens[0].id', { added_tokens: [{ ...token, id: 1.5 }] }],
    ['KEXA_BAD_TOKENIZER', '"<x>"', { added_tokens: [{ ...token, id: 258 }] }],
    ['KEXA_BAD_TOKENIZER', 'at most 1024 bytes', { added_tokens: [{ ...token, content: 'x'.repeat(1025) }] }],
    ['KEXA_BAD_TOKENIZER', 'model', { model: null }],
    ['KEXA_BAD_TOKENIZER', 'model.vocab', model({ vocab: null })],
    ['KEXA_BAD_TOKENIZER', 'model.merges', model({ merges: {} })],
    ['KEXA_BAD_TOKENIZER', 'for 97', model({ vocab: lacking })],
    ['KEXA_BAD_TOKENIZER', 'both have id 5', model({ vocab: { ...vocab, ab: 5 } })],
    ['KEXA_BAD_TOKENIZER', 'ids up to', model({ vocab: { ...vocab, ab: 2 ** 31 } })],
    ['KEXA_BAD_TOKENIZER', 'whole numbers from 0', model({ vocab: { ...vocab, ab: -1 } })],
    ['KEXA_BAD_TOKENIZER', 'whole numbers from 0', model({ vocab: { ...vocab, ab: 256.5 } })],
    ['KEXA_BAD_TOKENIZER', 'whole numbers from 0', model({ vocab: { ...vocab, ab: '256' } })],
    ['KEXA_BAD_TOKENIZER', 'model.merges[0]', model({ merges: [['a', 'b']] })],
    ['KEXA_BAD_TOKENIZER', 'model.merges[0]', model({ vocab: { ...vocab, abc: 256 }, merges: [['ab', 'c']] })],
    ['KEXA_BAD_TOKENIZER', 'model.merges[0]', model({ vocab: { ...vocab, 가: 256, 가a: 257 }, merges: [['가', 'a']] })],
    ['KEXA_BAD_TOKENIZER', 'model.merges[0]', model({ vocab: { ...vocab, '': 256 }, merges: [['', 'a']] })],
    ['KEXA_BAD_TOKENIZER', 'model.merges[1]', model({ vocab: { ...vocab, aa: 256 }, merges: ['a a', 'a a a'] })],
    ['KEXA_BAD_TOKENIZER', 'model.merges[0]', model({ merges: [['a']] })],
    ['KEXA_BAD_TOKENIZER', 'model.merges[0]', model({ merges: [5] })],
  ];
  for (const [code, names, change] of cases) {
    const error = await refusal(JSON.stringify(tokenizerJson(vocab, [], change)));
    t.ok(error.code === code && error.message.includes(names), `${code}: ${error.message}`);
  }
  const text = JSON.stringify(tokenizerJson(vocab, []));
  for (const [title, changed] of [
    ['a token twice', text.replace('"!":', '"!":7,"!":')],
    ['the vocabulary twice', text.replace('"vocab":', '"vocab":{},"vocab":')],
    ['an id with a zero before it', text.replace('"!":33', '"!":033')],
    ['a comma too many', text.replace('"!":33,', '"!":33,,')],
    ['a text that does not end', text.slice(0, text.indexOf('"!"') + 2)],
    ['an escape that is none', text.replace('"!"', '"\\x"')],
    ['a line end in a text', text.replace('"!"', '"!\n"')],
    ['a file that ends in the vocabulary', text.slice(0, text.indexOf('"vocab":') + 30)],
    ['more after the end', `${text} x`],
  ] as const)
    t.equal((await refusal(changed)).code, 'KEXA_BAD_TOKENIZER', title);
});

async function refusal(json: string): Promise<KexaError> {
  try {
    await load(json);
  } catch (cause) {
    // The addon's own errors have a code; the Tokenizer class makes KexaErrors of them.
    const { code, message } = cause as KexaError;
    if (code?.startsWith('KEXA_')) return new KexaError(code, message);
    throw cause;
  }
  throw new Error('nothing was refused');
}

test('names may be spelled with escapes, and dropout is off', async (t) => {
  const vocab = { ...byteVocabulary(), Ġa: 256, '🙂': 257 };
  const json = JSON.stringify(tokenizerJson(vocab, ['Ġ a']));
  const escaped = json.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  t.notEqual(escaped, json);
  const dropping = escaped.replace('"type":"BPE"', '"type":"BPE","dropout":0.9');
  for (const text of [json, escaped, dropping, JSON.stringify(JSON.parse(escaped), null, 2)]) {
    const tokenizer = await load(text);
    t.deepEqual([...tokenizer.encode({ text: ' a'.repeat(40), spans: new Uint32Array() })], Array(40).fill(256));
    t.equal(tokenizer.idOf('🙂'), 257);
  }
});

test('600 damaged files are refused or read, and nothing else happens', { timeout: hangLimit }, async (t) => {
  const random = randomNumbers(5);
  const below = (limit: number) => Math.floor(random() * limit);
  const whole = Buffer.from(tinyJson);
  let refused = 0;
  for (let i = 0; i < 600; i++) {
    const bytes = Buffer.from(i % 5 === 0 ? whole.subarray(0, below(whole.length)) : whole);
    for (let k = i % 5 === 0 ? 0 : 1 + below(4); k > 0; k--) bytes[below(bytes.length)] = below(256);
    try {
      const tokenizer = await load(bytes);
      tokenizer.encode({ text: 'the of and the of and \n 한국어', spans: new Uint32Array() });
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== 'KEXA_BAD_TOKENIZER' && code !== 'KEXA_UNSUPPORTED') throw error;
      refused++;
    }
  }
  t.ok(refused > 200 && refused < 600, `${refused} refused`);
});

/** Makes texts that a tokenizer may get wrong, and vocabularies to try them with. */
import { randomNumbers } from './compare.js';

/** The characters that byte-level vocabularies spell bytes with, by byte. */
export const byteAlphabet: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode((byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173) ? byte : next++),
  );
})();

const words =
  "the of and in model KV cache attention don't WE'LL they'Ve I'm 'S 'ſ it’s o'clock 한국어 모델 입니다 그리고 토큰 나이 données naïve Straße İstanbul Ελλάδα русский हिन्दी क्षि ไทย العَرَبِيَّة עִבְרִית 中文 日本語 がぎ ㄱㅏ".split(
    ' ',
  );
const code = [
  'for (let i = 0; i < n; ++i) {\n',
  '  return a->b;\n',
  '\tif (x != y) //',
  ' /* c */',
  'import { a } from "./b.js";\r\n',
  '=> ',
  '===',
  '\\n',
  '<div class="a">',
  '    ',
  '\t\t',
  '0x1F',
  '1e-5',
  '://',
  '/',
];
const spaces =
  ' | | |  |\n|\r|\r\n|\t|\v|\f|\u0085|\u00a0|\u1680|\u2003|\u2028|\u2029|\u202f|\u205f|\u3000|\u200b|\ufeff|\u180e|\u001c|\u0000'.split(
    '|',
  );
const emoji = ['😀', '👩‍👩‍👧‍👦', '🇰🇷', '👍🏽', '❤️', '🏴\u{e0067}\u{e0062}\u{e007f}', '1️⃣', '\u200d', '\ufe0f', '㊗️'];
const marks =
  '\u0301 \u0300 \u0338 \u0327 \u0323 \u0345 \u093c \u0e31 \u064e \u05b4 \u20dd \u3099 \u309a \u{1d165} \u0f71 \u0f72 \u{16ff0} \u{1e8d0} \u1acf'.split(
    ' ',
  );
const normalised =
  '\u212b \u2126 \uf900 \ufb1d \u0958 \u2adc \u0344 \u0374 \u{1d15e} \u{2f800} \u0340 e\u0301 a\u0323\u0302 \u1e9b\u0323 각\u11a8 가\u11a8 \u1100\u1161 \u1100\u1161\u11a8 \u1100\u1100\u1161 ﷺ ㎏ ㍿ ½ ﬁ Ⅷ ２'.split(
    ' ',
  );
const ranges: readonly [number, number][] = [
  [32, 126],
  [32, 126],
  [0, 255],
  [0x100, 0x52f],
  [0x300, 0x36f],
  [0x590, 0x6ff],
  [0x900, 0xdff],
  [0x1100, 0x11ff],
  [0xac00, 0xd7a3],
  [0xa960, 0xa97f],
  [0xd7b0, 0xd7ff],
  [0x3040, 0x30ff],
  [0x4e00, 0x9fff],
  [0x2000, 0x206f],
  [0x2100, 0x2bff],
  [0xe000, 0xffff],
  [0x10000, 0x1ffff],
  [0x20000, 0x323af],
  [0xe0000, 0xe01ef],
  [0, 0x10ffff],
];

/**
 * `count` texts of up to some hundred characters: words, code, runs of spaces and of marks, lone surrogates, characters
 * of every kind, and `added` tokens, whole, cut and run together. The same `seed` gives the same ones.
 */
export function hardTexts(count: number, added: readonly string[], seed: number): string[] {
  const random = randomNumbers(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <Item>(items: readonly Item[]): Item => items[below(items.length)]!;
  const cutToken = () => {
    const token = pick(added);
    const at = below(token.length);
    return pick([token.slice(0, at), token.slice(at), token + pick(marks), token + pick(added)]);
  };
  const parts: (() => string)[] = [
    () => pick(words),
    () => ` ${pick(words)}`,
    () => pick(code),
    () => pick(spaces),
    () => pick(spaces).repeat(below(12)),
    () => pick(emoji),
    () => pick(marks),
    () => pick(marks) + pick(marks) + pick(marks),
    () => pick(normalised),
    () => pick(added),
    cutToken,
    () => String.fromCharCode(0xd800 + below(0x800)),
    () => String(below(1e6)),
    () => pick([...'०١1Ⅷ²½①']),
    () =>
      `'${pick(['s', 'S', 'ſ', 't', 'T', 're', 'RE', 'rE', 've', 'm', 'll', 'Ll', 'd', 'D', 'r', 'v', 'l', 'x', "'", ' s'])}`,
    () => pick(['/', '//', '/\n', '.\r\n', '!\n', '.\n\n', ' .', ' /', '...', '___', '---', '*', '#']),
    () => String.fromCodePoint(pick([97, 32, 10, 48, 0xac00, 0x4e00, 45, 0x301, 0x1f600])).repeat(1 + below(60)),
    ...ranges.map(
      ([first, last]) =>
        () =>
          String.fromCodePoint(first + below(last - first + 1)),
    ),
  ];
  const some = (most: number, make: () => string) => Array.from({ length: below(most) }, make).join('');
  return Array.from({ length: count }, (_, i) => {
    switch (i % 10) {
      case 0: {
        const three = [pick(parts), pick(parts), pick(parts)];
        return some(40, () => pick(three)());
      }
      case 1:
        return some(30, () => String.fromCodePoint(below(0x3000)));
      case 2:
        return some(30, () => pick(words) + pick([' ', ' ', '', "'", '.', '\n']));
      case 3:
        return some(25, () => pick(spaces) + (below(3) ? '' : pick(['a', '1', '.', '가', '\u0301'])));
      case 4: {
        if (i % 50 !== 4) return some(50, () => pick(parts)());
        const unit = pick(['ab', 'the of ', '가나', ' ', 'a', 'ĠĠ', 'aab', '\n ', '. ', 'é', '하는']);
        return unit.repeat(below(3000 / unit.length)) + pick(parts)();
      }
      case 5:
        return some(20, () => (below(2) ? pick(added) : cutToken()));
      case 7: {
        // Reversing the text also cuts surrogate pairs.
        const text = some(50, () => pick(parts)());
        const at = below(text.length);
        return text.slice(at) + text.slice(0, at);
      }
      default:
        return some(50, () => pick(parts)());
    }
  });
}

/** A tokenizer.json of a byte-level BPE that splits nothing. `change` overrides its fields. */
export function tokenizerJson(
  vocab: Record<string, number>,
  merges: readonly (string | readonly [string, string])[],
  change: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges },
    ...change,
  };
}

/** Ids of the single bytes: byte i is token i. */
export function byteVocabulary(): Record<string, number> {
  return Object.fromEntries(byteAlphabet.map((character, byte) => [character, byte]));
}

/**
 * A tokenizer.json with the form of EXAONE 4.0's: 102,400 tokens, runs of spaces and tabs among its added tokens, NFC,
 * and GPT-2's split. Its merges join tokens that stand together in `texts`, then any tokens.
 */
export function exaone4Like(texts: readonly string[], seed: number): Record<string, unknown> {
  const random = randomNumbers(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const special = ['[PAD]', '[BOS]', '[EOS]', '[UNK]', '[|system|]', '[|user|]', '[|assistant|]', '[|endofturn|]'];
  const blanks = [...Array.from({ length: 30 }, (_, i) => ' '.repeat(31 - i)), ...['\t\t\t\t', '\t\t\t', '\t\t']];
  const more = ['PI:URL', '<|endoftext|>', '<think>', '</think>', 'PI:EMAIL'];
  const contents = [...special, ...blanks, ...more];
  const added = contents.map((content, id) => ({
    id,
    content,
    special: !blanks.includes(content) && !content.includes('think'),
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
  const vocab = new Map<string, number>([...contents, ...byteAlphabet].map((name, id) => [name, id]));
  const merges: [string, string][] = [];
  const short = [...byteAlphabet];
  const join = (left: string, right: string) => {
    const token = left + right;
    if (token.length > 16 || vocab.has(token)) return;
    vocab.set(token, vocab.size);
    merges.push([left, right]);
    if (token.length <= 6) short.push(token);
  };
  // Pieces of real text first: each is built up from its left end.
  for (const text of texts)
    for (const [piece] of text.matchAll(/ ?\p{L}{2,12}| ?\p{N}{2,4}|[^\s\p{L}\p{N}]{2,4}/gu)) {
      const names = Array.from(Buffer.from(piece), (byte) => byteAlphabet[byte]!);
      for (let i = 1; i < names.length; i++) join(names.slice(0, i).join(''), names[i]!);
    }
  while (vocab.size < 102_400) join(short[below(short.length)]!, short[below(short.length)]!);
  return tokenizerJson(Object.fromEntries(vocab), merges, {
    added_tokens: added,
    normalizer: { type: 'NFC' },
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  });
}

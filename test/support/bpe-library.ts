/**
 * Compares kexa's tokenizer with the library that models were trained with, on texts that a tokenizer may get wrong.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { Tokenizer as RustTokenizer } from 'tokenizers';
import { type NativeEncodeRequest, type NativeTokenizer, native } from '../../lib/native.js';
import { readTokenizerFile } from '../../lib/text/tokenizer-fields.js';
import { exaone4Like, hardTexts } from './bpe-texts.js';
import { hangLimit } from './hang-limit.js';
import { modelFolder } from './models.js';
import { bigVocabularyFolder } from './real-size.js';

const tinyJson = readFileSync(join(modelFolder('tiny'), 'tokenizer.json'), 'utf8');

/** Every way to merge, with the cache and without. */
export const everyWay: Record<string, NativeEncodeRequest['limits']> = {
  'as usual': undefined,
  'all by heap': { heapFrom: 0, listsFrom: 1e9, hasCache: false },
  'all by lists': { heapFrom: 0, listsFrom: 0, hasCache: false },
  'without the cache': { heapFrom: 32, listsFrom: 2048, hasCache: false },
};

/** kexa's tokenizer of a tokenizer.json. */
export async function load(json: string | Uint8Array): Promise<NativeTokenizer> {
  const { source, added } = await readTokenizerFile('tokenizer.json', Buffer.from(json as string));
  const { Tokenizer } = native();
  const tokenizer = new Tokenizer({ ...source, added: added.map((token) => ({ ...token, isNamed: false })) });
  await tokenizer.load();
  return tokenizer;
}

/** The ids of the texts by the library. */
export async function libraryIds(rust: RustTokenizer, texts: readonly string[]): Promise<number[][]> {
  const ids: number[][] = [];
  for (let i = 0; i < texts.length; i += 256) {
    const encodings = await Promise.all(
      texts.slice(i, i + 256).map((text) => rust.encode(text, null, { addSpecialTokens: false })),
    );
    ids.push(...encodings.map((encoding) => encoding.getIds()));
  }
  return ids;
}

/** The texts whose ids differ from those wanted, the first few shown. */
export function differences(
  tokenizer: NativeTokenizer,
  texts: readonly string[],
  wanted: readonly number[][],
  limits: NativeEncodeRequest['limits'],
): string[] {
  const wrong: string[] = [];
  for (const [i, text] of texts.entries()) {
    const ids = tokenizer.encode({ text, spans: new Uint32Array(), ...(limits && { limits }) });
    const expected = wanted[i]!;
    if (ids.length !== expected.length || !expected.every((id, k) => id === ids[k]))
      wrong.push(`${JSON.stringify(text).slice(0, 200)}: ${ids.slice(0, 30)} instead of ${expected.slice(0, 30)}`);
  }
  return wrong.slice(0, 5);
}

/** EXAONE 3.5's way to normalise and split, in either spelling of the step that parts digits. */
export function exaone3Steps(spelling: 'Digits' | 'Split'): Record<string, unknown> {
  const digits = { type: 'Digits', individual_digits: true };
  const split = { type: 'Split', pattern: { Regex: '\\p{N}' }, behavior: 'Isolated', invert: false };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    normalizer: { type: 'NFKC' },
    pre_tokenizer: { type: 'Sequence', pretokenizers: [spelling === 'Digits' ? digits : split, byteLevel] },
  };
}

let madeExaone4: Record<string, unknown> | undefined;

function exaone4(): Record<string, unknown> {
  madeExaone4 ??= exaone4Like(hardTexts(3000, ['a'], 9), 7);
  return madeExaone4;
}

const vocabularies: Record<string, () => Promise<string>> = {
  "tiny's 4,096 tokens": async () => tinyJson,
  "153,600 tokens of K-EXAONE's form": async () =>
    readFileSync(join(await bigVocabularyFolder(), 'tokenizer.json'), 'utf8'),
  "102,400 tokens of EXAONE 3.5's form, which parts digits": async () =>
    JSON.stringify({ ...exaone4(), ...exaone3Steps('Digits') }),
  "102,400 tokens of EXAONE 4.0's form": async () => JSON.stringify(exaone4()),
};

/** Tests of every vocabulary with so many hard texts. */
export function testHardTexts(count: number): void {
  for (const [title, make] of Object.entries(vocabularies)) {
    test(`${count} hard texts have the library's ids: ${title}`, { timeout: hangLimit }, async (t) => {
      const json = await make();
      const added = JSON.parse(json).added_tokens.map(({ content }: { content: string }) => content);
      const texts = hardTexts(count, added, 1);
      const wanted = await libraryIds(RustTokenizer.fromString(json), texts);
      const tokenizer = await load(json);
      for (const [way, limits] of Object.entries(everyWay)) {
        t.deepEqual(differences(tokenizer, texts, wanted, limits), [], way);
      }
    });
  }
}

/**
 * The fields of a tokenizer.json that kexa's own encoder computes. It refuses all others by name, because they would
 * give other ids.
 */
import { KexaError } from '../errors.js';
import { isJsonObject, type JsonObject, kindOf, shown } from '../files/json-file.js';
import type { NativeVocabularySource } from '../native.js';
import { readTokenizerJson } from './tokenizer-json.js';

/** An entry of `added_tokens`. */
export interface AddedToken {
  content: string;
  id: number;
  /** Whether the token marks structure and is no text of an answer. */
  isSpecial: boolean;
  /** Whether the token is searched for in the normalised text. */
  isNormalized: boolean;
}

/** How text is normalised and split. */
export type TextSteps = Pick<NativeVocabularySource, 'normalForm' | 'split'>;

/** K-EXAONE's way to split text before its merges; llama.cpp knows it as `exaone-moe`. */
export const moeSplit =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";

/** The pattern by which ByteLevel splits by itself, as GPT-2 did. */
const gpt2Split = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** The patterns that native/text/pieces.h has a scanner for. They are compared as texts. */
const splits: Readonly<Record<string, TextSteps['split']>> = { [moeSplit]: 'exaone-moe', [gpt2Split]: 'gpt2' };

/**
 * Whether a token may be one that a chat template has between messages, such as `<|user|>`. Words of the template's own
 * language, such as `if`, are none, whatever tokens were added to a vocabulary.
 */
export function looksLikeMarker(content: string): boolean {
  return /^[<[{|].*[>\]}|]$/s.test(content);
}

/** A vocabulary without its added tokens, and the added tokens. */
export interface VocabularyFile {
  source: Omit<NativeVocabularySource, 'added'>;
  added: AddedToken[];
}

/**
 * Reads a tokenizer.json; `file` is its name, for errors. `truncation`, `padding` and `post_processor` are left alone:
 * nothing is cut, filled up or added here.
 *
 * @throws KexaError KEXA_UNSUPPORTED or KEXA_BAD_TOKENIZER, naming the field. An aborted signal's reason.
 */
export async function readTokenizerFile(
  file: string,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<VocabularyFile> {
  const { fields, vocab, merges } = await readTokenizerJson(file, bytes, signal);
  const read = new Fields(file);
  const model = read.model(fields.model);
  requireByteLevelDecoder(fields.decoder, file);
  if (vocab === null) throw read.bad('model.vocab', 'an object of tokens and ids', model.vocab);
  if (merges === null) throw read.bad('model.merges', 'a list', model.merges);
  const source = {
    file,
    tokensField: 'model.vocab',
    mergesField: 'model.merges',
    names: vocab.names.bytes,
    nameEnds: vocab.names.ends,
    ids: vocab.ids,
    merges: merges.bytes,
    mergeEnds: merges.ends,
    hasJoinedMerges: false,
    normalForm: read.normalForm(fields.normalizer ?? null),
    split: read.split(fields.pre_tokenizer ?? null),
  };
  return { source, added: read.added(fields.added_tokens ?? []) };
}

class Fields {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  model(model: unknown): JsonObject {
    if (!isJsonObject(model)) throw this.bad('model', 'an object', model);
    // Files of the library's first versions lack the field. They are BPE if they have merges.
    if (model.type !== undefined && model.type !== 'BPE') throw this.#unsupported('model.type', 'BPE', model.type);
    // `dropout` makes a tokenizer leave out merges at random while a model is trained. Answers are made without.
    for (const name of ['unk_token', 'continuing_subword_prefix', 'end_of_word_suffix'])
      if ((model[name] ?? '') !== '') throw this.#unsupported(`model.${name}`, 'none', model[name]);
    for (const name of ['fuse_unk', 'byte_fallback', 'ignore_merges'])
      if ((model[name] ?? false) !== false) throw this.#unsupported(`model.${name}`, 'false', model[name]);
    return model;
  }

  added(tokens: unknown): AddedToken[] {
    if (!Array.isArray(tokens)) throw this.bad('added_tokens', 'a list', tokens);
    return tokens.map((token: unknown, i) => {
      const where = `added_tokens[${i}]`;
      if (!isJsonObject(token)) throw this.bad(where, 'an object', token);
      const { content, id } = token;
      if (typeof content !== 'string' || content === '') throw this.bad(`${where}.content`, 'a text', content);
      if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > 0xfffffffe)
        throw this.bad(`${where}.id`, 'a whole number from 0', id);
      for (const name of ['single_word', 'lstrip', 'rstrip'])
        if ((token[name] ?? false) !== false) throw this.#unsupported(`${where}.${name}`, 'false', token[name]);
      return { content, id, isSpecial: token.special === true, isNormalized: token.normalized === true };
    });
  }

  normalForm(normalizer: unknown): TextSteps['normalForm'] {
    const steps = stepsOf(normalizer, 'normalizers');
    if (steps.length === 0) return 'none';
    const type = isJsonObject(steps[0]) ? steps[0].type : undefined;
    if (steps.length === 1 && type === 'NFC') return 'nfc';
    if (steps.length === 1 && type === 'NFKC') return 'nfkc';
    throw this.#unsupported('normalizer', 'none, NFC or NFKC', normalizer);
  }

  split(preTokenizer: unknown): TextSteps['split'] {
    const field = 'pre_tokenizer';
    const steps = stepsOf(preTokenizer, 'pretokenizers');
    const byteLevel = steps.at(-1);
    if (!isJsonObject(byteLevel) || byteLevel.type !== 'ByteLevel')
      throw this.#unsupported(field, 'ByteLevel, alone or after a Split', preTokenizer);
    if (byteLevel.add_prefix_space !== false)
      throw this.#unsupported(`${field}: add_prefix_space`, 'false', byteLevel.add_prefix_space);
    const splitsByItself = byteLevel.use_regex ?? true;
    if (steps.length === 1) return splitsByItself ? 'gpt2' : 'none';
    const split = steps[0];
    // EXAONE 3 splits at each digit, and then as GPT-2 did.
    if (steps.length === 2 && splitsByItself && partsNumbers(split)) return 'exaone';
    if (steps.length !== 2 || !isJsonObject(split) || split.type !== 'Split' || splitsByItself)
      throw this.#unsupported(field, 'one Split and a ByteLevel that splits no more', preTokenizer);
    if (split.behavior !== 'Isolated') throw this.#unsupported(`${field}: behavior`, 'Isolated', split.behavior);
    if ((split.invert ?? false) !== false) throw this.#unsupported(`${field}: invert`, 'false', split.invert);
    const pattern = isJsonObject(split.pattern) ? split.pattern.Regex : undefined;
    if (typeof pattern === 'string' && Object.hasOwn(splits, pattern)) return splits[pattern]!;
    throw this.#unsupported(`${field}: pattern`, "K-EXAONE's or GPT-2's, to the letter", split.pattern);
  }

  bad(field: string, wanted: string, found: unknown): KexaError {
    const text = found === undefined ? 'nothing' : kindOf(found);
    return new KexaError('KEXA_BAD_TOKENIZER', `${this.#file}: ${field}: wanted ${wanted}, found ${text}`);
  }

  #unsupported(field: string, wanted: string, found: unknown): KexaError {
    return new KexaError(
      'KEXA_UNSUPPORTED',
      `${this.#file}: ${field}: wanted ${wanted}, found ${found === null ? 'none' : shown(found)}; this version computes no other`,
    );
  }
}

/** Whether a step makes each number (`\p{N}`) a piece of its own, in either way that tokenizer.json has for it. */
function partsNumbers(step: unknown): boolean {
  if (!isJsonObject(step)) return false;
  if (step.type === 'Digits') return step.individual_digits === true;
  const pattern = isJsonObject(step.pattern) ? step.pattern.Regex : undefined;
  const isPlain = step.behavior === 'Isolated' && (step.invert ?? false) === false;
  return step.type === 'Split' && pattern === '\\p{N}' && isPlain;
}

/** The steps of a sequence in order, or the one step. */
function stepsOf(step: unknown, list: string): unknown[] {
  if (step === null || step === undefined) return [];
  if (!isJsonObject(step) || step.type !== 'Sequence' || !Array.isArray(step[list])) return [step];
  return step[list].flatMap((inner: unknown) => stepsOf(inner, list));
}

/**
 * Refuses tokenizers whose text is not the plain concatenation of their tokens' bytes: streaming and decoding rest on
 * that. `decoder` is that field of tokenizer.json.
 */
function requireByteLevelDecoder(decoder: unknown, file: string): void {
  const types = stepsOf(decoder, 'decoders').map((step) => (isJsonObject(step) ? String(step.type) : kindOf(step)));
  // Fuse joins the strings of earlier steps; after ByteLevel there is only one.
  if (types[0] === 'ByteLevel' && types.slice(1).every((type) => type === 'Fuse')) return;
  throw new KexaError(
    'KEXA_UNSUPPORTED',
    `${file}: wanted the decoder ByteLevel, found ${types.join(' + ') || 'none'}; kexa reads byte-level tokenizers only`,
  );
}

/** A GGUF file's tokenizer: its metadata as the tokenizer.json that says the same, and the chat template. */
import { KexaError } from '../errors.js';
import { readGgufFile } from '../files/gguf.js';
import { GgufNumbers, GgufStrings, type GgufValue } from '../files/gguf-values.js';

/** `tokenizer.ggml.token_type`. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** K-EXAONE's way to split text before its merges; llama.cpp knows it as `exaone-moe`. */
export const moeSplit =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };

/** How text is normalised and split, by `tokenizer.ggml.pre`. */
const splits: Readonly<Record<string, object>> = {
  'exaone-moe': {
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: moeSplit }, behavior: 'Isolated', invert: false },
        { ...byteLevel, use_regex: false },
      ],
    },
  },
  // GPT-2's pattern is the one ByteLevel has by itself.
  exaone4: { normalizer: null, pre_tokenizer: { ...byteLevel, use_regex: true } },
};

/** What {@link readGgufTokenizer} found. */
export interface GgufTokenizer {
  /** A whole tokenizer.json. */
  json: string;
  addedTokens: { id: number; content: string; special: boolean }[];
  /** As tokenizer_config.json has them: the chat template and the names of special tokens. */
  config: Record<string, unknown>;
}

/**
 * Reads the tokenizer of a GGUF file, of the first where there are parts; null if it has none.
 *
 * @throws KexaError KEXA_BAD_TOKENIZER for metadata that contradicts itself, KEXA_UNSUPPORTED for another kind of
 *   tokenizer; what reading the file throws.
 */
export async function readGgufTokenizer(path: string): Promise<GgufTokenizer | null> {
  const { metadata } = await readGgufFile(path);
  const get = (name: string) => metadata.get(`tokenizer.ggml.${name}`);
  const model = get('model');
  if (model === undefined) return null;
  if (model !== 'gpt2') throw unsupported(path, 'model', 'gpt2', model);
  const pre = get('pre');
  if (typeof pre !== 'string' || !Object.hasOwn(splits, pre))
    throw unsupported(path, 'pre', Object.keys(splits).join(' or '), pre);

  const tokens = texts(path, 'tokens', get('tokens'));
  const listed = get('token_type') ?? tokens.map(() => tokenTypes.normal);
  const types = listed instanceof GgufNumbers ? [...listed] : listed;
  if (!Array.isArray(types) || types.length !== tokens.length)
    throw bad(path, 'token_type', `wanted one number a token, ${tokens.length} in all`);
  const vocab = new Map<string, number>();
  const addedTokens: GgufTokenizer['addedTokens'] = [];
  for (const [id, content] of tokens.entries()) {
    // Rows of the embedding that no token has.
    if (types[id] === tokenTypes.unused) continue;
    const before = vocab.get(content);
    if (before !== undefined) throw bad(path, 'tokens', `${JSON.stringify(content)} is both ${before} and ${id}`);
    vocab.set(content, id);
    const special = types[id] === tokenTypes.control;
    if (special || types[id] === tokenTypes.userDefined) addedTokens.push({ id, content, special });
  }
  const merges = texts(path, 'merges', get('merges')).map((merge, i) => {
    // No token of a byte-level vocabulary has a space in it.
    const pair = merge.split(' ');
    if (pair.length === 2 && pair.every((part) => vocab.has(part))) return pair;
    throw bad(path, `merges[${i}]`, `wanted two tokens, found ${JSON.stringify(merge)}`);
  });

  const config: Record<string, unknown> = { chat_template: metadata.get('tokenizer.chat_template') };
  for (const [name, key] of Object.entries({ bos: 'bos', eos: 'eos', pad: 'padding', unk: 'unknown' })) {
    const id = get(`${key}_token_id`);
    if (typeof id === 'number' && tokens[id] !== undefined) config[`${name}_token`] = tokens[id];
  }
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens.map((token) => ({
      ...token,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    ...splits[pre],
    post_processor: null,
    decoder: { ...byteLevel, use_regex: true },
    model: { type: 'BPE', vocab: Object.fromEntries(vocab), merges },
  };
  return { json: JSON.stringify(tokenizer), addedTokens, config };
}

function texts(path: string, name: string, value: GgufValue | undefined): string[] {
  if (value instanceof GgufStrings) return [...value];
  throw bad(path, name, `wanted a list of texts, found ${value === undefined ? 'nothing' : typeof value}`);
}

function bad(path: string, name: string, message: string): KexaError {
  return new KexaError('KEXA_BAD_TOKENIZER', `${path}: tokenizer.ggml.${name}: ${message}`);
}

function unsupported(path: string, name: string, wanted: string, found: GgufValue | undefined): KexaError {
  const text = found === undefined ? 'nothing' : JSON.stringify(found);
  return new KexaError('KEXA_UNSUPPORTED', `${path}: tokenizer.ggml.${name}: wanted ${wanted}, found ${text}`);
}

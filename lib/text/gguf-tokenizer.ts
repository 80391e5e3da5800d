/** A GGUF file's tokenizer: its metadata as a vocabulary, and the chat template. */
import { KexaError } from '../errors.js';
import { readGgufFile } from '../files/gguf.js';
import { GgufNumbers, GgufStrings, type GgufValue } from '../files/gguf-values.js';
import { unusedName } from '../native.js';
import { Pause } from './pause.js';
import type { AddedToken, TextSteps, VocabularyFile } from './tokenizer-fields.js';

/** `tokenizer.ggml.token_type`. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** How text is normalised and split, by `tokenizer.ggml.pre`. */
const steps: Readonly<Record<string, TextSteps>> = {
  'exaone-moe': { normalForm: 'nfc', split: 'exaone-moe' },
  exaone4: { normalForm: 'nfc', split: 'gpt2' },
};

/** What {@link readGgufTokenizer} found. */
export interface GgufTokenizer extends VocabularyFile {
  /** As tokenizer_config.json has them: the chat template and the names of special tokens. */
  config: Record<string, unknown>;
}

/**
 * Reads the tokenizer of a GGUF file, of the first where there are parts; null if it has none.
 *
 * @throws KexaError KEXA_BAD_TOKENIZER for metadata that contradicts itself, KEXA_UNSUPPORTED for another kind of
 *   tokenizer; what reading the file throws. An aborted signal's reason.
 */
export async function readGgufTokenizer(path: string, signal?: AbortSignal): Promise<GgufTokenizer | null> {
  const { metadata } = await readGgufFile(path);
  const get = (name: string) => metadata.get(`tokenizer.ggml.${name}`);
  const model = get('model');
  if (model === undefined) return null;
  if (model !== 'gpt2') throw unsupported(path, 'model', 'gpt2', model);
  const pre = get('pre');
  if (typeof pre !== 'string' || !Object.hasOwn(steps, pre))
    throw unsupported(path, 'pre', Object.keys(steps).join(' or '), pre);

  const tokens = texts(path, 'tokens', get('tokens'));
  const merges = texts(path, 'merges', get('merges'));
  const types = get('token_type');
  if (types !== undefined && !(types instanceof GgufNumbers && types.length === tokens.length))
    throw bad(path, 'token_type', `wanted one number a token, ${tokens.length} in all`);
  const { ids, added } = await readTypes(tokens, types, new Pause(signal));

  const config: Record<string, unknown> = { chat_template: chatTemplates(metadata) };
  for (const [name, key] of Object.entries({ bos: 'bos', eos: 'eos', pad: 'padding', unk: 'unknown' })) {
    const id = get(`${key}_token_id`);
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < tokens.length)
      config[`${name}_token`] = tokens.at(id);
  }
  const source = {
    file: path,
    tokensField: 'tokenizer.ggml.tokens',
    mergesField: 'tokenizer.ggml.merges',
    names: tokens.packed,
    nameEnds: tokens.offsets.subarray(1),
    ids,
    merges: merges.packed,
    mergeEnds: merges.offsets.subarray(1),
    hasJoinedMerges: true,
    ...steps[pre]!,
  };
  return { source, added, config };
}

/** The template, with those of other names (`tokenizer.chat_template.NAME`) as tokenizer_config.json lists them. */
function chatTemplates(metadata: ReadonlyMap<string, GgufValue>): { name: string; template: GgufValue }[] {
  const key = 'tokenizer.chat_template';
  return Array.from(metadata).flatMap(([field, template]) => {
    if (field === key) return [{ name: 'default', template }];
    return field.startsWith(`${key}.`) ? [{ name: field.slice(key.length + 1), template }] : [];
  });
}

async function readTypes(
  tokens: GgufStrings,
  types: GgufNumbers | undefined,
  pause: Pause,
): Promise<{ ids: Uint32Array; added: AddedToken[] }> {
  const ids = Uint32Array.from({ length: tokens.length }, (_, id) => id);
  const added: AddedToken[] = [];
  for (let id = 0; types !== undefined && id < tokens.length; id++) {
    const type = types.at(id);
    // Rows of the embedding that no token has.
    if (type === tokenTypes.unused) ids[id] = unusedName;
    const isSpecial = type === tokenTypes.control || type === tokenTypes.unknown;
    if (isSpecial || type === tokenTypes.userDefined)
      added.push({ id, content: tokens.at(id), isSpecial, isNormalized: false });
    if (id % 4096 === 0 && pause.isDue) await pause.take();
  }
  return { ids, added };
}

function texts(path: string, name: string, value: GgufValue | undefined): GgufStrings {
  if (value instanceof GgufStrings) return value;
  throw bad(path, name, `wanted a list of texts, found ${value === undefined ? 'nothing' : typeof value}`);
}

function bad(path: string, name: string, message: string): KexaError {
  return new KexaError('KEXA_BAD_TOKENIZER', `${path}: tokenizer.ggml.${name}: ${message}`);
}

function unsupported(path: string, name: string, wanted: string, found: GgufValue | undefined): KexaError {
  const text = found === undefined ? 'nothing' : JSON.stringify(found);
  return new KexaError('KEXA_UNSUPPORTED', `${path}: tokenizer.ggml.${name}: wanted ${wanted}, found ${text}`);
}

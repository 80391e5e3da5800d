/** Reads a GGUF file's tokenizer: its vocabulary and the chat template. */
import { KexaError } from '../errors.js';
import { families, listedWith } from '../files/family/families.js';
import { readGgufFile } from '../files/gguf/gguf.js';
import { GgufNumbers, GgufStrings, type GgufValue } from '../files/gguf/gguf-values.js';
import { unusedName } from '../native.js';
import { Pause } from './pause.js';
import { type AddedToken, looksLikeMarker, type TextSteps, type VocabularyFile } from './tokenizer-fields.js';

/** `tokenizer.ggml.token_type`. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** How text is normalised and split, by `tokenizer.ggml.pre`. */
const steps = new Map(families.map(({ text: { pre, ...step } }) => [pre, step]));

/**
 * Keys of the ids of special tokens, as in `tokenizer.ggml.eos_token_id`, and what tokenizer_config.json calls them.
 */
const specialKeys: Readonly<Record<string, string | null>> = {
  bos: 'bos_token',
  eos: 'eos_token',
  eot: null,
  eom: null,
  padding: 'pad_token',
  unknown: 'unk_token',
};

/** The names of special tokens in chat templates, and the keys of their ids. */
export const namedTokenKeys: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(specialKeys).flatMap(([key, name]) =>
    name === null ? [] : [[name, `tokenizer.ggml.${key}_token_id`]],
  ),
);

/** GGUF's name for a way to normalise and split text. Null if it has none. */
export function splitNameOf({ normalForm, split }: TextSteps): string | null {
  const found = [...steps].find(([, step]) => step.normalForm === normalForm && step.split === split);
  return found?.[0] ?? null;
}

/** The result of {@link readGgufTokenizer}. */
export interface GgufTokenizer extends VocabularyFile {
  /** The chat template and the names of special tokens, spelled as in tokenizer_config.json. */
  config: Record<string, unknown>;
  /** Names, for a warning, the tokens whose type in the file was not followed. Null if there are none. */
  mended: string | null;
}

/**
 * Reads the tokenizer of a GGUF file, or of the first of its parts. Null if it has none.
 *
 * Some files type the tokens of turns as ordinary text, which would be split in pieces. A token counts as special if
 * the chat template has it or it ends a turn, and no merge makes it.
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
  const step = typeof pre === 'string' ? steps.get(pre) : undefined;
  if (step === undefined) throw unsupported(path, 'pre', listedWith('or', [...steps.keys()]), pre);

  const tokens = texts(path, 'tokens', get('tokens'));
  const merges = texts(path, 'merges', get('merges'));
  const types = get('token_type');
  if (types !== undefined && !(types instanceof GgufNumbers && types.length === tokens.length))
    throw bad(path, 'token_type', `wanted one number a token, ${tokens.length} in all`);

  const config: Record<string, unknown> = { chat_template: chatTemplates(metadata) };
  const specialIds = new Set<number>();
  for (const [key, name] of Object.entries(specialKeys)) {
    const id = get(`${key}_token_id`);
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= tokens.length) continue;
    specialIds.add(id);
    if (name !== null) config[name] = tokens.at(id);
  }
  const templates = [...metadata]
    .filter(([key]) => key.startsWith('tokenizer.chat_template'))
    .map(([, value]) => value);
  const isNamed = (token: string) => templates.some((text) => typeof text === 'string' && text.includes(token));
  const { ids, added, ordinary } = await readTypes(tokens, types, specialIds, new Pause(signal));
  const mistyped = withoutMerge(
    ordinary.filter(({ id, content }) => specialIds.has(id) || isNamed(content)),
    merges,
  );
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
    ...step,
  };
  return { source, added: [...added, ...mistyped], config, mended: mendedText(path, mistyped) };
}

/**
 * The templates in the form of tokenizer_config.json: the default one, and those with a name
 * (`tokenizer.chat_template.NAME`).
 */
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
  specialIds: ReadonlySet<number>,
  pause: Pause,
): Promise<{ ids: Uint32Array; added: AddedToken[]; ordinary: AddedToken[] }> {
  const ids = new Uint32Array(tokens.length);
  const added: AddedToken[] = [];
  /** Tokens that are typed as ordinary text and may be special. */
  const ordinary: AddedToken[] = [];
  for (let id = 0; id < tokens.length; id++) {
    const type = types?.at(id) ?? tokenTypes.normal;
    // An unused id is a row of the embedding without a token.
    ids[id] = type === tokenTypes.unused ? unusedName : id;
    // The token for unknown text is found in texts like control tokens, as in llama.cpp.
    const isSpecial = type === tokenTypes.control || type === tokenTypes.unknown;
    if (isSpecial || type === tokenTypes.userDefined)
      added.push({ id, content: tokens.at(id), isSpecial, isNormalized: false });
    else if (type === tokenTypes.normal && (specialIds.has(id) || isBracketed(tokens.bytes(id)))) {
      const content = tokens.at(id);
      const isControl = specialIds.has(id) || /^(<\|.*\|>|\[\|.*\|\])$/s.test(content);
      if (isControl || looksLikeMarker(content))
        ordinary.push({ id, content, isSpecial: isControl, isNormalized: false });
    }
    if (id % 4096 === 0 && pause.isDue) await pause.take();
  }
  return { ids, added, ordinary };
}

/** A quick look at what {@link looksLikeMarker} asks of a text: of a vocabulary's tokens few have brackets. */
function isBracketed(bytes: Uint8Array): boolean {
  const last = bytes[bytes.length - 1];
  return bytes.length >= 3 && (last === 0x3e || last === 0x5d || last === 0x7c || last === 0x7d);
}

/** Finds the tokens that are no merge's result. Merges make the tokens of text, and no others. */
function withoutMerge(tokens: AddedToken[], merges: GgufStrings): AddedToken[] {
  if (tokens.length === 0) return tokens;
  const left = new Map(tokens.map((token) => [token.content, token]));
  const lengths = new Set(tokens.map(({ content }) => Buffer.byteLength(content)));
  const { offsets } = merges;
  for (let i = 0; i < merges.length; i++)
    // One byte of a merge is the space between its parts.
    if (lengths.has(offsets[i + 1]! - offsets[i]! - 1)) left.delete(merges.at(i).replace(' ', ''));
  return [...left.values()];
}

function mendedText(path: string, mistyped: readonly AddedToken[]): string | null {
  if (mistyped.length === 0) return null;
  const some = mistyped.slice(0, 3).map(({ content }) => JSON.stringify(content));
  const [are, list] = [mistyped.length === 1 ? 'token is' : 'tokens are', some.join(', ')];
  return (
    `${path}: tokenizer.ggml.token_type: ${mistyped.length} ${are} typed as ordinary text though the chat template or ` +
    `the end of turns needs them whole (${list}${mistyped.length > some.length ? ', ...' : ''}); they are read as markers`
  );
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

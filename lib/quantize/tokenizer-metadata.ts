/** tokenizer.json as GGUF's metadata: tokens, their types, merges, the way text is split, and the chat template. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KexaError } from '../errors.js';
import { fileError, isJsonObject, type JsonObject, readOptionalJsonObject } from '../files/json-file.js';
import { tokenTypes } from '../text/gguf-tokenizer.js';
import { moeSplit } from '../text/tokenizer-fields.js';
import type { ModelConfig } from '../types.js';
import type { Entries } from './model-metadata.js';

/**
 * The tokenizer's keys; none where the folder has no tokenizer.json, as a model may be used with ids alone.
 *
 * @throws KexaError KEXA_BAD_TOKENIZER, or KEXA_UNSUPPORTED for a tokenizer that GGUF has no name for.
 */
export async function tokenizerMetadata(folder: string, config: ModelConfig): Promise<Entries> {
  const file = join(folder, 'tokenizer.json');
  const json = await readOptionalJsonObject(file);
  if (json === null) return [];
  const { tokens, types } = readTokens(file, json, config.vocabSize);
  const entries: Entries = [
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: splitName(file, json) }],
    ['tokenizer.ggml.tokens', { type: 'string[]', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'i32[]', value: types }],
    ['tokenizer.ggml.merges', { type: 'string[]', value: readMerges(file, json) }],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
  ];
  const [end, ...otherEnds] = config.eosTokenIds;
  const ids: [string, number | null | undefined][] = [
    ['bos', config.bosTokenId],
    ['eos', end],
    ['eot', otherEnds[0]],
    ['padding', config.padTokenId],
  ];
  for (const [name, id] of ids) {
    if (id === null || id === undefined) continue;
    entries.push([`tokenizer.ggml.${name}_token_id`, { type: 'u32', value: id }]);
  }
  const template = await chatTemplate(folder);
  if (template !== null) entries.push(['tokenizer.chat_template', { type: 'string', value: template }]);
  return entries;
}

function readTokens(file: string, json: JsonObject, vocabSize: number): { tokens: string[]; types: number[] } {
  const vocab = isJsonObject(json.model) && json.model.type === 'BPE' ? json.model.vocab : undefined;
  if (!isJsonObject(vocab)) throw bad(file, 'model: wanted BPE with a vocab');
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  // Rows of the embedding that no token has.
  const types = new Array<number>(vocabSize).fill(tokenTypes.unused);
  const put = (token: string, id: unknown, type: number) => {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabSize)
      throw bad(file, `token ${JSON.stringify(token)}: wanted an id below ${vocabSize}, found ${String(id)}`);
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(vocab)) put(token, id, tokenTypes.normal);
  for (const added of Array.isArray(json.added_tokens) ? json.added_tokens : []) {
    if (!isJsonObject(added) || typeof added.content !== 'string') throw bad(file, 'added_tokens: wanted named tokens');
    put(added.content, added.id, added.special === true ? tokenTypes.control : tokenTypes.userDefined);
  }
  return { tokens, types };
}

/** Each as two tokens with a space between; in a byte-level vocabulary no token has a space in it. */
function readMerges(file: string, json: JsonObject): string[] {
  const merges = isJsonObject(json.model) ? json.model.merges : undefined;
  if (!Array.isArray(merges)) throw bad(file, 'model.merges: wanted a list');
  return merges.map((merge: unknown, i) => {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge;
    if (Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string' && !/ /.test(part)))
      return pair.join(' ');
    throw bad(file, `model.merges[${i}]: wanted two tokens without spaces, found ${JSON.stringify(merge)}`);
  });
}

function splitName(file: string, json: JsonObject): string {
  const steps =
    isJsonObject(json.pre_tokenizer) && Array.isArray(json.pre_tokenizer.pretokenizers)
      ? json.pre_tokenizer.pretokenizers
      : [json.pre_tokenizer];
  const splits = steps.filter((step) => isJsonObject(step) && step.type === 'Split');
  const patterns = splits.map((step) => (isJsonObject(step.pattern) ? step.pattern.Regex : undefined));
  if (patterns.length === 1 && patterns[0] === moeSplit) return 'exaone-moe';
  const isPlain = steps.length === 1 && isJsonObject(steps[0]) && steps[0].type === 'ByteLevel';
  // EXAONE 4.0 splits as GPT-2 did, which is what ByteLevel does by itself.
  if (isPlain && (steps[0] as JsonObject).use_regex === true) return 'exaone4';
  throw new KexaError(
    'KEXA_UNSUPPORTED',
    `${file}: pre_tokenizer: wanted K-EXAONE's or EXAONE 4.0's way to split text, the two that GGUF has a name for, found another`,
  );
}

async function chatTemplate(folder: string): Promise<string | null> {
  const file = join(folder, 'chat_template.jinja');
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const error = fileError(file, cause);
    if (error.code !== 'KEXA_NOT_FOUND') throw error;
  }
  const configFile = join(folder, 'tokenizer_config.json');
  const config = await readOptionalJsonObject(configFile);
  return typeof config?.chat_template === 'string' ? config.chat_template : null;
}

function bad(file: string, message: string): KexaError {
  return new KexaError('KEXA_BAD_TOKENIZER', `${file}: ${message}`);
}

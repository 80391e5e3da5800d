/** Writes tokenizer.json as GGUF keys: tokens, their types, merges, the way text is split, and the chat templates. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KexaError } from '../errors.js';
import { families, listedWith } from '../files/family/families.js';
import { endKeys, endListKey } from '../files/gguf/gguf-ends.js';
import { fileError } from '../files/json-file.js';
import { specialTokens, templateSources } from '../text/chat-template.js';
import { namedTokenKeys, splitNameOf, tokenTypes } from '../text/gguf-tokenizer.js';
import { readTemplates, Tokenizer } from '../text/tokenizer.js';
import { readTokenizerFile, type VocabularyFile } from '../text/tokenizer-fields.js';
import type { ModelConfig } from '../types.js';
import type { Entries } from './model-metadata.js';

export interface TokenizerMetadata {
  entries: Entries;
  /** Sentences. Each names one thing that GGUF cannot hold. */
  warnings: string[];
}

/**
 * The tokenizer's keys. None if the folder has no tokenizer.json, because a model may be used with ids alone. A
 * tokenizer that kexa would refuse to load is refused here.
 *
 * @throws KexaError KEXA_BAD_TOKENIZER, or KEXA_UNSUPPORTED for a tokenizer that GGUF has no name for.
 */
export async function tokenizerMetadata(folder: string, config: ModelConfig): Promise<TokenizerMetadata> {
  const file = join(folder, 'tokenizer.json');
  const bytes = await readOptional(file);
  if (bytes === null) return { entries: [], warnings: [] };
  const tokenizer = await Tokenizer.open(folder);
  tokenizer.close();
  tokenizer.checkVocab(config.vocabSize);
  const vocabulary = await readTokenizerFile(file, bytes);
  const { tokens, types } = tokensOf(file, vocabulary, config.vocabSize);
  const template = await readTemplates(folder);
  const templates = templateSources(template);
  const text = [...templates.values()].join('\n');
  const named = [...specialTokens(template.config)].filter(([name]) => mentions(text, name));
  const ids = namedIds(config, new Map(named), tokens);
  const entries: Entries = [
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: splitName(file, vocabulary) }],
    ['tokenizer.ggml.tokens', { type: 'string[]', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'i32[]', value: types }],
    ['tokenizer.ggml.merges', { type: 'string[]', value: mergesOf(vocabulary) }],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
    ...[...ids].map(([key, id]): Entries[number] => [key, { type: 'u32', value: id }]),
    ...endEntries(config.eosTokenIds),
    ...templateEntries(templates),
  ];
  const kept = new Map(Object.entries(namedTokenKeys).map(([name, key]) => [name, tokens[ids.get(key) ?? -1]]));
  const warnings = named
    .filter(([name, token]) => kept.get(name) !== token)
    .map(([name, token]) => {
      const found = kept.get(name);
      const as = found === undefined ? 'nothing' : JSON.stringify(found);
      return `the chat template names ${name}, ${JSON.stringify(token)} in tokenizer_config.json; in the file it will be ${as}`;
    });
  const normalized = vocabulary.added.filter(({ isNormalized }) => isNormalized).map(({ content }) => content);
  if (normalized.length > 0 && vocabulary.source.normalForm !== 'none')
    warnings.push(
      `${listed(normalized)}: GGUF cannot say that an added token is looked for in normalised text (normalized); ` +
        'it will be looked for in the text as it is',
    );
  return { entries, warnings };
}

/** Each token under its id; ids that no token has are named and marked as unused. */
function tokensOf(
  file: string,
  { source, added }: VocabularyFile,
  vocabSize: number,
): { tokens: string[]; types: number[] } {
  const tokens = new Array<string | undefined>(vocabSize);
  // Rows of the embedding that no token has.
  const types = new Array<number>(vocabSize).fill(tokenTypes.unused);
  const put = (id: number, token: string, type: number) => {
    const other = tokens[id];
    if (other !== undefined && other !== token)
      throw new KexaError(
        'KEXA_UNSUPPORTED',
        `${file}: id ${id} is both ${JSON.stringify(other)} and ${JSON.stringify(token)}; GGUF has one token for each id`,
      );
    tokens[id] = token;
    types[id] = type;
  };
  for (const [i, name] of packed(source.names, source.nameEnds).entries()) put(source.ids[i]!, name, tokenTypes.normal);
  for (const { id, content, isSpecial } of added)
    put(id, content, isSpecial ? tokenTypes.control : tokenTypes.userDefined);
  return { tokens: Array.from(tokens, (token, id) => token ?? `[PAD${id}]`), types };
}

/** The merges, each as two tokens with a space between. No token of a byte-level vocabulary contains a space. */
function mergesOf({ source }: VocabularyFile): string[] {
  const halves = packed(source.merges, source.mergeEnds);
  return Array.from({ length: halves.length / 2 }, (_, i) => `${halves[2 * i]} ${halves[2 * i + 1]}`);
}

function packed(bytes: Uint8Array, ends: Uint32Array): string[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from(ends, (end, i) => all.toString('utf8', i === 0 ? 0 : ends[i - 1]!, end));
}

function splitName(file: string, { source }: VocabularyFile): string {
  const name = splitNameOf(source);
  if (name !== null) return name;
  throw new KexaError(
    'KEXA_UNSUPPORTED',
    `${file}: wanted text normalised and split as ${listedWith(
      'or',
      families.map(({ name }) => name),
    )} does it, the ways that GGUF has a name for, ` + `found ${source.normalForm} and ${source.split}`,
  );
}

/**
 * The ids that have a key of their own, without end tokens: the ids of config.json, and the ids of
 * tokenizer_config.json's names if the template asks for another token.
 */
function namedIds(
  config: ModelConfig,
  named: ReadonlyMap<string, string>,
  tokens: readonly string[],
): Map<string, number> {
  const configured: Record<string, number | null | undefined> = {
    bos_token: config.bosTokenId,
    eos_token: config.eosTokenIds[0],
    pad_token: config.padTokenId,
  };
  const ids = new Map<string, number>();
  for (const [name, key] of Object.entries(namedTokenKeys)) {
    const found = tokens.indexOf(named.get(name) ?? '');
    const id = configured[name] ?? (found < 0 || name === 'eos_token' ? undefined : found);
    if (id !== undefined) ids.set(key, id);
  }
  return ids;
}

/** The keys of end tokens. The first is `eos_token_id`. If there are more ends than keys, Ollama's list has all. */
function endEntries(ends: readonly number[]): Entries {
  const entries: Entries = endKeys.flatMap((key, i) => {
    const id = ends[i];
    return i === 0 || id === undefined ? [] : [[key, { type: 'u32', value: id }]];
  });
  if (ends.length > endKeys.length) entries.push([endListKey, { type: 'i32[]', value: ends }]);
  return entries;
}

/**
 * The keys have the names of llama.cpp's converter: the default template by itself, and a list of the others' names.
 */
function templateEntries(templates: ReadonlyMap<string, string>): Entries {
  const entries: Entries = [];
  const others: string[] = [];
  for (const [name, value] of templates) {
    if (name !== 'default') others.push(name);
    entries.push([`tokenizer.chat_template${name === 'default' ? '' : `.${name}`}`, { type: 'string', value }]);
  }
  if (others.length > 0) entries.push(['tokenizer.chat_templates', { type: 'string[]', value: others }]);
  return entries;
}

/** Whether a template has a variable of this name. */
function mentions(template: string, name: string): boolean {
  return new RegExp(`\\b${name}\\b`).test(template);
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 4).map((name) => JSON.stringify(name));
  return names.length > 4 ? `${shown.join(', ')} and ${names.length - 4} more` : shown.join(', ');
}

async function readOptional(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file);
  } catch (cause) {
    const error = fileError(file, cause);
    if (error.code === 'KEXA_NOT_FOUND') return null;
    throw error;
  }
}

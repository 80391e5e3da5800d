/** Reads suites of real prompts: files of JSON lines, some of which come with kexa. */
import { basename, dirname, join } from 'node:path';
import { KexaError } from '../errors.js';
import { readTextFile } from '../files/text-file.js';
import { invalid } from '../options.js';
import { packageRoot } from '../package-root.js';
import { Tokenizer } from '../text/tokenizer.js';
import type { Message } from '../types.js';
import type { SuitePrompt } from './units.js';

/** The suites that come with kexa. */
export const suiteNames: readonly string[] = ['chat', 'code', 'document', 'korean'];

/**
 * One line of a suite.
 *
 * @example
 * const sky = { suite: 'mine', name: 'sky', prompt: 'Why is the sky blue?', raw: false, maxTokens: 64 };
 * const prompts: SuiteEntry[] = [sky];
 * const results = await benchmark('models/tiny', { prompts, mtp: [false, 'auto'] });
 */
export interface SuiteEntry {
  suite: string;
  name: string;
  /** A user's message or a conversation, which go through the chat template; with `raw` a text to go on from. */
  prompt: string | Message[];
  raw: boolean;
  /** The length of the answer (tokens). */
  maxTokens: number;
}

/**
 * Reads the prompts of a suite. `nameOrPath` is the name of one that comes with kexa, or a file of JSON lines, each
 * `{ "name", "prompt" or "messages", "document"?, "raw"?, "maxTokens"? }`. A document is a text file beside the suite
 * that is put before the prompt.
 *
 * @throws KexaError KEXA_NOT_FOUND or KEXA_BAD_FILE
 *
 * @example
 * const results = await benchmark('models/tiny', { prompts: await readSuite('chat') });
 */
export async function readSuite(nameOrPath: string): Promise<SuiteEntry[]> {
  if (typeof nameOrPath !== 'string' || nameOrPath === '')
    throw invalid('suite', `a file, or one of ${suiteNames.join(', ')}`, nameOrPath);
  const path = suiteNames.includes(nameOrPath)
    ? join(packageRoot(), 'bench/suites', `${nameOrPath}.jsonl`)
    : nameOrPath;
  const advice = `; suites that come with kexa: ${suiteNames.join(', ')}`;
  const lines = (await readTextFile(path, advice)).split('\n');
  const suite = basename(path).replace(/\.jsonl$/, '');
  const entries: SuiteEntry[] = [];
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    entries.push(await readEntry(path, i + 1, line, suite));
  }
  if (entries.length === 0) throw new KexaError('KEXA_BAD_FILE', `${path}: wanted a prompt a line, found none`);
  return entries;
}

async function readEntry(path: string, number: number, line: string, suite: string): Promise<SuiteEntry> {
  const bad = (what: string) => new KexaError('KEXA_BAD_FILE', `${path}: line ${number}: ${what}`);
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch (cause) {
    throw bad(`wanted JSON, found ${(cause as Error).message}`);
  }
  if (typeof entry !== 'object' || entry === null) throw bad('wanted an object');
  const { name = String(number), prompt, messages, document, raw = false, maxTokens = 64, ...rest } = entry;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw bad(`${unknown}: not a field of a prompt`);
  if (typeof name !== 'string') throw bad('name: wanted a text');
  if (typeof raw !== 'boolean') throw bad('raw: wanted true or false');
  if (!(typeof maxTokens === 'number' && Number.isInteger(maxTokens) && maxTokens >= 1))
    throw bad('maxTokens: wanted a positive integer');
  const common = { suite, name, raw, maxTokens };
  if (messages !== undefined) {
    if (prompt !== undefined || raw || !Array.isArray(messages) || messages.length === 0)
      throw bad('messages: wanted a conversation, and neither prompt nor raw beside it');
    return { ...common, prompt: messages as Message[] };
  }
  if (typeof prompt !== 'string' || prompt === '') throw bad('prompt: wanted a text');
  if (document === undefined) return { ...common, prompt };
  if (typeof document !== 'string') throw bad('document: wanted the name of a file');
  return { ...common, prompt: `${await readTextFile(join(dirname(path), document))}\n${prompt}` };
}

/** Counts the prompts' tokens. @throws KexaError KEXA_NOT_FOUND for a model without a tokenizer, KEXA_BAD_TEMPLATE */
export async function preparePrompts(folder: string, entries: readonly SuiteEntry[]): Promise<SuitePrompt[]> {
  if (entries.length === 0) return [];
  const tokenizer = await Tokenizer.open(folder);
  try {
    const counted: SuitePrompt[] = [];
    for (const entry of entries) {
      const { prompt, raw } = entry;
      const messages = typeof prompt === 'string' ? [{ role: 'user' as const, content: prompt }] : prompt;
      const { text, spans } = raw ? { text: prompt as string } : await tokenizer.renderChat(messages);
      const ids = await tokenizer.encodeAsync(text, spans === undefined ? {} : { spans });
      counted.push({ ...entry, promptTokens: ids.length });
    }
    return counted;
  } finally {
    tokenizer.close();
  }
}

/**
 * Checks the options of `benchmark`, `benchmarkOps` and `readSuite`. Messages name the field and the allowed values.
 */

import { limits } from '../limits.js';
import { checkNames, integerOption, invalid } from '../options.js';
import type { SyntheticOptions } from '../plan/synthetic.js';
import type { SuiteEntry } from './suite.js';
import type { BenchSweep, BenchTest } from './tests.js';

const mostTokens = 2 ** 31 - 1;
const mostSessions = 64;

/** Checks every entry of a list. Undefined is an empty list. */
export function listOption<Entry>(
  name: string,
  value: unknown,
  check: (name: string, entry: unknown) => Entry,
): readonly Entry[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid(name, 'an array', value);
  return value.map((entry: unknown, i) => check(`${name}[${i}]`, entry));
}

/** The value, a function, or undefined. */
export function functionOption<Told extends (...values: never[]) => void>(
  name: string,
  value: Told | undefined,
): Told | undefined {
  if (value !== undefined && typeof value !== 'function') throw invalid(name, 'a function', value);
  return value;
}

/** The value, a required integer. */
function integerField(name: string, value: unknown, least: number, most: number): number {
  if (value === undefined) throw invalid(name, `an integer from ${least} to ${most}`, value);
  return integerOption(name, value, least, most, least);
}

/** The number of drafts a step. 0 is none. */
export function checkDrafts(name: string, mtp: unknown): BenchTest['mtp'] {
  if (mtp === false || mtp === 0) return false;
  if (mtp === 'auto') return mtp;
  if (typeof mtp === 'number' && Number.isInteger(mtp) && mtp >= 1 && mtp <= limits.drafts) return mtp;
  throw invalid(name, `false, 'auto' or a number of drafts from 1 to ${limits.drafts}`, mtp);
}

export function checkTest(name: string, test: unknown): BenchTest {
  const { prompt, generated, depth, mtp, sessions } = fieldsOf<BenchTest>(name, test, [
    'prompt',
    'generated',
    'depth',
    'mtp',
    'sessions',
  ]);
  const checked: BenchTest = {
    prompt: integerField(`${name}.prompt`, prompt, 0, mostTokens),
    generated: integerField(`${name}.generated`, generated, 0, mostTokens),
    depth: integerField(`${name}.depth`, depth, 0, mostTokens),
    mtp: checkDrafts(`${name}.mtp`, mtp),
    ...(sessions !== undefined && { sessions: integerField(`${name}.sessions`, sessions, 1, mostSessions) }),
  };
  if (checked.prompt + checked.generated === 0)
    throw invalid(name, 'tokens to read or to generate', 'prompt 0 and generated 0');
  return checked;
}

export function checkSweep(name: string, sweep: unknown): BenchSweep {
  const { contexts, generated, mtp } = fieldsOf<BenchSweep>(name, sweep, ['contexts', 'generated', 'mtp']);
  const tokens = integerField(`${name}.generated`, generated, 0, mostTokens);
  if (!Array.isArray(contexts) || contexts.length === 0)
    throw invalid(`${name}.contexts`, 'at least one context, in tokens', contexts);
  const rising: number[] = [];
  for (const context of contexts as unknown[]) {
    const before = rising.at(-1);
    const least = before === undefined ? 1 : before + tokens + 1;
    const where = before === undefined ? 'the first' : `after ${before} and ${tokens} generated`;
    if (typeof context !== 'number' || !Number.isInteger(context) || context < least || context > mostTokens)
      throw invalid(`${name}.contexts`, `a context of at least ${least} tokens, ${where}`, context);
    rising.push(context);
  }
  return { contexts: rising, generated: tokens, mtp: checkDrafts(`${name}.mtp`, mtp) };
}

/** A prompt as `readSuite` gives it. */
export function checkPrompt(name: string, entry: unknown): SuiteEntry {
  const prompt = fieldsOf<SuiteEntry>(name, entry, ['suite', 'name', 'prompt', 'raw', 'maxTokens']);
  for (const field of ['suite', 'name'] as const)
    if (typeof prompt[field] !== 'string') throw invalid(`${name}.${field}`, 'a text', prompt[field]);
  const isText = typeof prompt.prompt === 'string' && prompt.prompt !== '';
  const isConversation = Array.isArray(prompt.prompt) && prompt.prompt.length > 0;
  if (typeof prompt.raw !== 'boolean') throw invalid(`${name}.raw`, 'true or false', prompt.raw);
  if (!isText && (prompt.raw || !isConversation))
    throw invalid(`${name}.prompt`, prompt.raw ? 'a text' : 'a text or messages', prompt.prompt);
  integerField(`${name}.maxTokens`, prompt.maxTokens, 1, mostTokens);
  return prompt as SuiteEntry;
}

/** The layers to keep of a model with made-up weights. Null: the weights are read. */
export function checkSynthetic(value: unknown): Pick<SyntheticOptions, 'layers'> | null {
  if (value === undefined || value === false) return null;
  if (value === true) return {};
  const { layers } = fieldsOf<SyntheticOptions>('synthetic', value, ['layers'], 'true, false or { layers }');
  return layers === undefined ? {} : { layers: integerField('synthetic.layers', layers, 1, mostTokens) };
}

/** The object's fields, of which only the names are checked. */
function fieldsOf<Fields>(
  name: string,
  value: unknown,
  known: readonly string[],
  wanted = `an object with ${known.join(', ')}`,
): { [Name in keyof Fields]?: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, wanted, value);
  checkNames(name, value, known);
  return value as { [Name in keyof Fields]?: unknown };
}

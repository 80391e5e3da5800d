/** The special token ids that config.json and generation_config.json name. */
import { type ConfigFields, isIntegerIn } from './config-fields.js';
import { shown } from './json-file.js';

/**
 * How a writer says that there is no such token: -1, also where only numbers from 0 can be written, in 32 or 64 bits.
 */
const unset: readonly unknown[] = [-1, 2 ** 32 - 1, 2 ** 64];

/**
 * One id that no answer depends on, such as the padding's; null when the field is absent, says that there is none, or
 * names a row that the model does not have, as fine-tunes do that add a token to the tokenizer alone.
 */
export function readTokenId(fields: ConfigFields, name: string, vocabSize: number): number | null {
  if (!fields.has(name) || unset.includes(fields.raw(name))) return null;
  const id = fields.integer(name, 0, 2 ** 32 - 1);
  return id < vocabSize ? id : null;
}

/** The ids of `eos_token_id`, a number or a list. Empty if the field is absent or says that there is none. */
export function readEosTokenIds(fields: ConfigFields, vocabSize: number): number[] {
  if (!fields.has('eos_token_id')) return [];
  const value = fields.raw('eos_token_id');
  const ids = (Array.isArray(value) ? (value as unknown[]) : [value]).filter((id) => !unset.includes(id));
  for (const id of ids) {
    if (!isIntegerIn(id, 0, vocabSize - 1)) {
      throw fields.bad(`eos_token_id: wanted token ids from 0 to ${vocabSize - 1}, found ${shown(value)}`);
    }
  }
  return [...new Set(ids as number[])];
}

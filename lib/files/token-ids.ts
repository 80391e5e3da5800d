/** The special token ids that config.json and generation_config.json name. */
import { type ConfigFields, isIntegerIn } from './config-fields.js';
import { shown } from './json-file.js';

/** One id, or null when the field is absent. */
export function readTokenId(fields: ConfigFields, name: string, vocabSize: number): number | null {
  return fields.optionalInteger(name, 0, vocabSize - 1);
}

/** The ids of `eos_token_id`, which is a number or a list of them; empty when the field is absent. */
export function readEosTokenIds(fields: ConfigFields, vocabSize: number): number[] {
  if (!fields.has('eos_token_id')) return [];
  const value = fields.raw('eos_token_id');
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  for (const id of ids) {
    if (!isIntegerIn(id, 0, vocabSize - 1)) {
      throw fields.bad(`eos_token_id: wanted token ids from 0 to ${vocabSize - 1}, found ${shown(value)}`);
    }
  }
  return [...new Set(ids as number[])];
}

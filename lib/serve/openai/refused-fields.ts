/** Fields of OpenAI's and other servers' interfaces that would change an answer, and that this server does not have. */
import { unsupported } from '../errors.js';

/** The value of each that changes nothing, and advice. */
const refused: Readonly<Record<string, { harmless: readonly unknown[]; advice: string }>> = {
  functions: { harmless: [], advice: 'use tools' },
  function_call: { harmless: ['auto', 'none'], advice: 'use tool_choice' },
  stop_token_ids: { harmless: [], advice: 'use stop' },
  skip_special_tokens: { harmless: [true], advice: 'special tokens are never told' },
  add_generation_prompt: { harmless: [true], advice: 'an answer is always begun' },
  continue_final_message: { harmless: [false], advice: 'use /v1/completions to go on with a text' },
  xtc_probability: { harmless: [0], advice: 'use min_p or top_p' },
  xtc_threshold: { harmless: [], advice: 'use min_p or top_p' },
  typical_p: { harmless: [1], advice: 'use min_p or top_p' },
  best_of: { harmless: [1], advice: 'use n' },
  modalities: { harmless: [], advice: 'answers are text' },
  audio: { harmless: [], advice: 'answers are text' },
  web_search_options: { harmless: [], advice: 'there is no search' },
};

/** Refuses what a body asks for and would not get. @throws ApiError 400 naming the field */
export function refuseFields(body: Readonly<Record<string, unknown>>): void {
  for (const [name, { harmless, advice }] of Object.entries(refused)) {
    const value = body[name];
    if (value === undefined || value === null || harmless.includes(value)) continue;
    if (Array.isArray(value) && (value.length === 0 || (value.length === 1 && value[0] === 'text'))) continue;
    throw unsupported(name, `this server does not have it; ${advice}`);
  }
}

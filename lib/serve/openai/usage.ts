/** Counts of tokens as OpenAI's interfaces for chats and completions write them. */
import type { GenerationResult } from '../../types.js';
import { sumOf } from '../answer.js';

/** The counts that the two interfaces take in ways of their own. */
export interface PromptCounts {
  prompt: number;
  cached: number;
  /** Tokens of thinking. Undefined where none are told. */
  reasoning?: number;
}

/** The counts of some answers together. */
export function usageOf(results: readonly GenerationResult[], { prompt, cached, reasoning }: PromptCounts): object {
  const completion = sumOf(results, ({ usage }) => usage.completionTokens);
  const accepted = sumOf(results, ({ speculation }) => speculation.accepted);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: {
      ...(reasoning !== undefined && { reasoning_tokens: reasoning }),
      accepted_prediction_tokens: accepted,
      rejected_prediction_tokens: sumOf(results, ({ speculation }) => speculation.drafted) - accepted,
    },
  };
}

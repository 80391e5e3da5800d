/** The fields that OpenAI's interfaces share: how tokens are chosen, and where an answer ends. */
import { z } from 'zod';
import { limits } from '../../limits.js';
import { defined } from '../../options.js';
import type { GenerateOptions } from '../../types.js';
import { serveLimits } from '../limits.js';

/** The fields as clients send them. */
export interface SamplingRequest {
  temperature: number | undefined;
  top_p: number | undefined;
  top_k: number | undefined;
  min_p: number | undefined;
  repetition_penalty: number | undefined;
  presence_penalty: number | undefined;
  frequency_penalty: number | undefined;
  seed: number | undefined;
  stop: string | string[] | undefined;
  logit_bias: Record<string, number> | undefined;
  min_tokens: number | undefined;
  ignore_eos: boolean | undefined;
  priority: number | undefined;
  mtp: 'auto' | false | number | undefined;
}

const penalty = z.number().min(-2).max(2).optional();

/** Their schemas, for the schema of a body. */
export const samplingFields: { [Name in keyof SamplingRequest]: z.ZodType<SamplingRequest[Name]> } = {
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  top_k: z.int().min(-1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repetition_penalty: z.number().min(0.01).max(100).optional(),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  seed: z.int().optional(),
  stop: z.union([z.string(), z.array(z.string().min(1)).max(serveLimits.stops)]).optional(),
  logit_bias: z.record(z.string().regex(/^\d+$/), z.number().min(-100).max(100)).optional(),
  min_tokens: z.int().min(0).optional(),
  ignore_eos: z.boolean().optional(),
  priority: z.int().min(-limits.priority).max(limits.priority).optional(),
  mtp: z.union([z.literal('auto'), z.literal(false), z.int().min(1).max(limits.drafts)]).optional(),
};

/** The library's options for the fields, `seed` apart; see {@link seededChoices}. */
export function samplingOptions(fields: SamplingRequest): GenerateOptions {
  const { stop, top_k: topK } = fields;
  return defined({
    minTokens: fields.min_tokens,
    temperature: fields.temperature,
    topP: fields.top_p,
    topK: topK === -1 ? 0 : topK,
    minP: fields.min_p,
    repeatPenalty: fields.repetition_penalty,
    presencePenalty: fields.presence_penalty,
    frequencyPenalty: fields.frequency_penalty,
    stop: stop === '' ? undefined : stop,
    logitBias: fields.logit_bias && biasOf(fields.logit_bias),
    ignoreEos: fields.ignore_eos,
    priority: fields.priority,
    mtp: fields.mtp,
  });
}

/**
 * The options of `n` answers. Each has a seed of its own, so that they differ, and one that is told, so that each can be
 * made again.
 */
export function seededChoices(options: GenerateOptions, n: number, seed: number | undefined): GenerateOptions[] {
  if (seed === undefined) return Array.from({ length: n }, () => options);
  const first = wrapped(seed);
  // Past the largest integer, seeds go on from 0, as those of the library's `n` do.
  const room = Number.MAX_SAFE_INTEGER - first;
  return Array.from({ length: n }, (_, i) => ({ ...options, seed: i <= room ? first + i : i - room - 1 }));
}

/** A seed as the core takes it: clients may send negative ones. */
function wrapped(seed: number): number {
  return seed >= 0 ? seed : 2 ** 52 + (seed % 2 ** 52);
}

/** OpenAI's API bans a token by -100. */
function biasOf(bias: Readonly<Record<string, number>>): Map<number, number> {
  return new Map(
    Object.entries(bias).map(([id, value]) => [Number(id), value <= -100 ? Number.NEGATIVE_INFINITY : value]),
  );
}

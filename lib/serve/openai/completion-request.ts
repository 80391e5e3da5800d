/** The body of `POST /v1/completions`, and what it asks of the engine. */
import { z } from 'zod';
import { limits } from '../../limits.js';
import { defined } from '../../options.js';
import type { GenerateOptions } from '../../types.js';
import type { AnswerRequest } from '../answer.js';
import type { ServeContext } from '../context.js';
import { badRequest, unsupported } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { readFields } from '../fields.js';
import { serveLimits } from '../limits.js';
import { type BodySchema, bodySchema } from '../openapi.js';
import type { ServedModel } from '../served-models.js';
import { constraintFields, readConstraint } from './constraint.js';
import { samplingFields, samplingOptions, seededChoices } from './sampling.js';

/** The tokens of an answer where the client asks for no number, as OpenAI's API has it. */
const defaultTokens = 16;

const flag = z.boolean().optional();
const ids = z.array(z.int().min(0)).min(1);

const completionFields = z.object({
  model: z.string().optional(),
  prompt: z.union([z.string(), z.array(z.string()).min(1), ids, z.array(ids).min(1)]),
  max_tokens: z.int().min(0).optional(),
  ...samplingFields,
  ...constraintFields,
  n: z.int().min(1).max(serveLimits.choices).optional(),
  best_of: z.int().min(1).optional(),
  echo: flag,
  logprobs: z.int().min(0).max(limits.alternatives).optional(),
  prompt_logprobs: z.int().min(0).max(limits.alternatives).optional(),
  suffix: z.string().optional(),
  stream: flag,
  stream_options: z
    .object({ include_usage: z.boolean().nullish(), continuous_usage_stats: z.boolean().nullish() })
    .optional(),
  return_token_ids: flag,
  // It changes nothing here.
  user: z.unknown().optional(),
});

type CompletionFields = z.infer<typeof completionFields>;

/** The fields of a body as JSON Schema. */
export function completionSchema(): BodySchema {
  return bodySchema(completionFields, {
    prompt: 'A text, an array of token ids, or an array of either',
    max_tokens: `The most tokens of an answer. 0 with \`echo\` or \`prompt_logprobs\` alone. Default: ${defaultTokens}`,
    n: 'Answers to each prompt. Answer i has the seed `seed` + i. Default: 1',
    best_of: 'The same as `n`',
    echo: 'Begin the text with the prompt. Default: false',
    logprobs: 'Tell the log-probability of each token, and of so many of the likeliest. Default: none',
    prompt_logprobs: "The same of the prompt's tokens, as vLLM tells it. Default: none",
    suffix: 'Refused unless it is empty',
  });
}

/** One prompt, as text and as tokens. */
export interface CompletionPrompt {
  text: string;
  ids: readonly number[];
}

/** A request for completions: each prompt has `n` answers. */
export interface CompletionRequest {
  model: ServedModel;
  /** The model's name as the client has given it. */
  name: string;
  prompts: readonly CompletionPrompt[];
  options: GenerateOptions;
  /** The answers to each prompt. */
  n: number;
  seed: number | undefined;
  isStream: boolean;
  usage: boolean;
  /** Whether the text begins with the prompt. */
  echo: boolean;
  /** How many alternatives are told beside each token. Undefined: no log-probabilities. */
  logprobs: number | undefined;
  /** The same for the prompt's tokens, in a list of its own. */
  promptLogprobs: number | undefined;
  tokenIds: boolean;
}

/** Reads a body. @throws ApiError naming the field */
export async function readCompletionRequest(
  { settings, models }: Pick<ServeContext, 'settings' | 'models'>,
  exchange: Pick<Exchange, 'notes' | 'fieldNames'>,
  body: Record<string, unknown>,
): Promise<CompletionRequest> {
  const fields = readFields(completionFields, body, { settings, exchange });
  const model = models.find(fields.model);
  const constraint = readConstraint(fields, exchange.fieldNames);
  const { n = 1, echo = false, logprobs, max_tokens: maxTokens = defaultTokens } = fields;
  if (fields.suffix) throw unsupported('suffix', 'the model writes on at the end of a text only');
  if (fields.best_of !== undefined && fields.best_of !== n)
    throw badRequest('best_of', `wanted the same as n, ${n}, found ${fields.best_of}`);
  if (maxTokens === 0 && !echo && fields.prompt_logprobs === undefined)
    throw badRequest('max_tokens', 'wanted 1 or more; 0 is for echo or prompt_logprobs');
  return {
    model,
    name: fields.model ?? model.names[0]!,
    prompts: await readPrompts(fields, n, model),
    options: defined({ ...samplingOptions(fields), ...constraint, maxTokens, logprobs }),
    n,
    seed: fields.seed,
    isStream: fields.stream === true,
    usage: fields.stream_options?.include_usage === true,
    echo,
    logprobs,
    promptLogprobs: fields.prompt_logprobs,
    tokenIds: fields.return_token_ids === true,
  };
}

/** The answers that the engine is asked for: those to each prompt, one prompt after the other. */
export function completionAnswer({ model, prompts, options, n, seed }: CompletionRequest): AnswerRequest {
  const each = seededChoices(options, n, seed);
  return { model, choices: prompts.flatMap(({ ids }) => each.map((one) => ({ prompt: ids, options: one }))) };
}

async function readPrompts(
  { prompt, max_tokens: maxTokens = defaultTokens }: CompletionFields,
  n: number,
  { model }: ServedModel,
): Promise<CompletionPrompt[]> {
  const isOne = typeof prompt === 'string' || typeof prompt[0] === 'number';
  const given = (isOne ? [prompt] : prompt) as (string | number[])[];
  if (given.length * n > serveLimits.completions)
    throw badRequest('prompt', `wanted at most ${serveLimits.completions} answers in all, found ${given.length * n}`);
  const { tokenizer, contextSize, config } = model;
  const prompts: CompletionPrompt[] = [];
  for (const [i, each] of given.entries()) {
    const at = isOne ? 'prompt' : `prompt[${i}]`;
    const ids = typeof each === 'string' ? await tokenizer.encodeAsync(each) : each;
    const wrong = ids.findIndex((id) => id >= config.vocabSize);
    if (wrong >= 0) throw badRequest(`${at}[${wrong}]`, `there are ${config.vocabSize} tokens, found ${ids[wrong]}`);
    if (ids.length === 0) throw badRequest(at, 'wanted a text of at least one token, found an empty one');
    const least = Math.min(1, maxTokens);
    if (ids.length + least > contextSize)
      throw badRequest(
        at,
        `${ids.length} tokens and ${least} to answer do not fit the context of ${contextSize}`,
        'context_length_exceeded',
      );
    prompts.push({ text: typeof each === 'string' ? each : tokenizer.decode(ids), ids });
  }
  return prompts;
}

/** The body of `POST /v1/chat/completions`, and what it asks of the engine. */
import { z } from 'zod';
import { limits } from '../../limits.js';
import { defined } from '../../options.js';
import type { GenerateOptions } from '../../types.js';
import type { AnswerRequest } from '../answer.js';
import type { ServeContext } from '../context.js';
import { badRequest } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { readFields } from '../fields.js';
import { serveLimits } from '../limits.js';
import { type BodySchema, bodySchema } from '../openapi.js';
import { constraintFields, readConstraint } from './constraint.js';
import { readMessages } from './messages.js';
import { refuseFields } from './refused-fields.js';
import { samplingFields, samplingOptions, seededChoices } from './sampling.js';
import { readThinking, thinkingFields } from './thinking.js';
import { readToolChoice } from './tool-choice.js';
import { readTools, toolFields } from './tools.js';

const anyObject = z.record(z.string(), z.unknown());
const flag = z.boolean().optional();

const chatFields = z.object({
  model: z.string().optional(),
  messages: z.array(z.unknown()).min(1).max(serveLimits.messages),
  max_completion_tokens: z.int().min(1).optional(),
  max_tokens: z.int().min(1).optional(),
  ...samplingFields,
  n: z.int().min(1).max(serveLimits.choices).optional(),
  logprobs: flag,
  top_logprobs: z.int().min(0).max(limits.alternatives).optional(),
  stream: flag,
  stream_options: z
    .object({ include_usage: z.boolean().nullish(), continuous_usage_stats: z.boolean().nullish() })
    .optional(),
  tools: toolFields.optional(),
  tool_choice: z.union([z.enum(['none', 'auto', 'required']), anyObject]).optional(),
  parallel_tool_calls: flag,
  ...constraintFields,
  ...thinkingFields,
  parse_reasoning: flag,
  separate_reasoning: flag,
  include_reasoning: flag,
  include_stop_str_in_output: flag,
  return_token_ids: flag,
  request_id: z.string().max(128).optional(),
  timings: flag,
  // These change nothing here.
  user: z.unknown().optional(),
  metadata: z.unknown().optional(),
  store: z.unknown().optional(),
  service_tier: z.unknown().optional(),
  safety_identifier: z.unknown().optional(),
  prompt_cache_key: z.unknown().optional(),
  verbosity: z.unknown().optional(),
  prediction: z.unknown().optional(),
});

type ChatFields = z.infer<typeof chatFields>;

/** The fields of a body as JSON Schema. */
export function chatSchema(): BodySchema {
  return bodySchema(chatFields);
}

/** How an answer is to be written. */
export interface ChatStyle {
  /** The model's name as the client has given it. */
  model: string;
  isStream: boolean;
  /** Whether a stream ends with the counts of tokens, and whether each chunk has them. */
  usage: boolean;
  runningUsage: boolean;
  /** Whether the thinking is told beside the answer, left in its text, or left out. */
  reasoning: 'apart' | 'in text' | 'left out';
  /** Whether the stop text that ended the answer is told. */
  stopText: boolean;
  tokenIds: boolean;
  timings: boolean;
}

/** A chat request: what the engine is asked, and how the answer is to be written. */
export interface ChatRequest {
  style: ChatStyle;
  answer: AnswerRequest;
}

/** Reads a body. @throws ApiError naming the field */
export function readChatRequest(
  { settings, models }: Pick<ServeContext, 'settings' | 'models'>,
  exchange: Pick<Exchange, 'notes' | 'fieldNames'>,
  body: Record<string, unknown>,
): ChatRequest {
  refuseFields(body);
  const fields = readFields(chatFields, body, { settings, exchange });
  const model = models.find(fields.model);
  const constraint = readConstraint(fields, exchange.fieldNames);
  const options = { ...optionsOf(fields), ...constraint };
  const prompt = readMessages(fields.messages);
  const { n = 1, seed } = fields;
  const choices = seededChoices(options, n, seed).map((each) => ({ prompt, options: each }));
  return { style: styleOf(fields, model.names[0]!), answer: { model, choices } };
}

function styleOf(fields: ChatFields, model: string): ChatStyle {
  const isInText = fields.parse_reasoning === false || fields.separate_reasoning === false;
  return {
    model: fields.model ?? model,
    isStream: fields.stream === true,
    usage: fields.stream_options?.include_usage === true,
    runningUsage: fields.stream_options?.continuous_usage_stats === true,
    reasoning: fields.include_reasoning === false ? 'left out' : isInText ? 'in text' : 'apart',
    stopText: fields.include_stop_str_in_output === true,
    tokenIds: fields.return_token_ids === true,
    timings: fields.timings === true,
  };
}

function optionsOf(fields: ChatFields): GenerateOptions {
  const { logprobs, top_logprobs: alternatives } = fields;
  if (alternatives !== undefined && logprobs !== true)
    throw badRequest('top_logprobs', 'wanted logprobs: true beside it');
  return defined({
    ...samplingOptions(fields),
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens,
    logprobs: logprobs === true ? (alternatives ?? 0) : undefined,
    ...readToolChoice(fields.tool_choice, readTools(fields.tools), fields.parallel_tool_calls),
    thinking: readThinking(fields),
  });
}

/** The body of `POST /v1/responses`, and what it asks of the engine. */
import { z } from 'zod';
import { limits } from '../../limits.js';
import { defined } from '../../options.js';
import type { ChatMessage, GenerateOptions } from '../../types.js';
import type { ServeContext } from '../context.js';
import { badRequest, unsupported } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { readFields } from '../fields.js';
import { serveLimits } from '../limits.js';
import { type BodySchema, bodySchema } from '../openapi.js';
import type { ServedModel } from '../served-models.js';
import { readInput } from './response-input.js';
import type { ResponseStore } from './response-store.js';
import { samplingFields, samplingOptions, seededChoices } from './sampling.js';
import { readThinking, thinkingFields } from './thinking.js';
import { readToolChoice } from './tool-choice.js';
import { functionFields, type GivenTool, readTools } from './tools.js';

const flag = z.boolean().optional();
const anyObject = z.record(z.string(), z.unknown());

const responseFields = z.object({
  model: z.string().optional(),
  input: z.union([z.string(), z.array(z.unknown()).min(1).max(serveLimits.messages)]),
  instructions: z.string().optional(),
  previous_response_id: z.string().optional(),
  store: flag,
  max_output_tokens: z.int().min(1).optional(),
  ...samplingFields,
  top_logprobs: z.int().min(0).max(limits.alternatives).optional(),
  include: z.array(z.string()).optional(),
  stream: flag,
  tools: z
    .array(z.looseObject({ type: z.string() }))
    .max(serveLimits.tools)
    .optional(),
  tool_choice: z.union([z.enum(['none', 'auto', 'required']), anyObject]).optional(),
  parallel_tool_calls: flag,
  text: z.looseObject({ format: z.looseObject({ type: z.string() }).optional() }).optional(),
  reasoning: z.looseObject({ effort: z.string().nullish() }).optional(),
  chat_template_kwargs: thinkingFields.chat_template_kwargs,
  metadata: anyObject.optional(),
  background: flag,
  conversation: z.unknown().optional(),
  prompt: z.unknown().optional(),
  truncation: z.enum(['auto', 'disabled']).optional(),
  max_tool_calls: z.int().min(1).optional(),
  // These change nothing here.
  user: z.unknown().optional(),
  stream_options: z.unknown().optional(),
  service_tier: z.unknown().optional(),
  safety_identifier: z.unknown().optional(),
  prompt_cache_key: z.unknown().optional(),
  prompt_cache_retention: z.unknown().optional(),
});

type ResponseFields = z.infer<typeof responseFields>;

/** The fields of a body as JSON Schema. */
export function responseSchema(): BodySchema {
  return bodySchema(responseFields, {
    input: 'A text, or items: message, reasoning, function_call, function_call_output',
    instructions: 'A system message for this request alone. Default: none',
    previous_response_id: 'A response that was kept, to go on from. Default: none',
    store: 'false keeps the response out of those that the server keeps. Default: true',
    max_output_tokens: 'The most tokens of an answer. Default: what is left of the context',
    include: '`message.output_text.logprobs`: tell log-probabilities. Default: nothing',
    text: '`format`: the form of the answer. Default: text',
    reasoning: '`effort`: none and minimal turn thinking off, others on. Default: as `chat_template_kwargs`',
    metadata: 'Told again in the response',
    background: 'Refused if true',
    conversation: 'Refused',
    prompt: 'Refused',
    truncation: 'disabled; auto is refused',
  });
}

/** A request for a response. */
export interface ResponseRequest {
  model: ServedModel;
  /** The conversation, with that of the response before. It is without the instructions, which hold for one request. */
  messages: readonly ChatMessage[];
  /** The messages that the engine is asked with: those, after the instructions. */
  prompt: readonly ChatMessage[];
  options: GenerateOptions;
  isStream: boolean;
  /** Whether the response is kept. */
  isStored: boolean;
  /** Whether log-probabilities are told. */
  logprobs: boolean;
  /** The fields of a response that repeat the request. */
  told: Record<string, unknown>;
}

/** Reads a body. @throws ApiError naming the field */
export function readResponseRequest(
  { settings, models }: ServeContext,
  store: ResponseStore,
  exchange: Exchange,
  body: Record<string, unknown>,
): ResponseRequest {
  const fields = readFields(responseFields, body, { settings, exchange });
  const model = models.find(fields.model);
  refuseUnsupported(fields);
  const { previous_response_id: previous, instructions, include = [] } = fields;
  const before = previous === undefined ? [] : store.find(previous, exchange.keyLabel).messages;
  const messages = [...before, ...readInput(fields.input)];
  const system: ChatMessage[] = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
  const logprobs = include.includes('message.output_text.logprobs') || fields.top_logprobs !== undefined;
  const options: GenerateOptions = defined({
    ...samplingOptions(fields),
    maxTokens: fields.max_output_tokens,
    logprobs: logprobs ? (fields.top_logprobs ?? 0) : undefined,
    ...readToolChoice(fields.tool_choice, readTools(fields.tools?.map(toolOf)), fields.parallel_tool_calls),
    ...readFormat(fields, exchange),
    thinking: readThinking({
      chat_template_kwargs: fields.chat_template_kwargs,
      reasoning_effort: fields.reasoning?.effort ?? undefined,
    }),
  });
  const isStored = settings.storeResponses > 0 && fields.store !== false;
  return {
    model,
    messages,
    prompt: [...system, ...messages],
    options: seededChoices(options, 1, fields.seed)[0]!,
    isStream: fields.stream === true,
    isStored,
    logprobs,
    told: toldFields(fields, model, isStored),
  };
}

function toldFields(fields: ResponseFields, { names, model }: ServedModel, isStored: boolean): Record<string, unknown> {
  const defaults = model.config.generationDefaults;
  return {
    background: false,
    instructions: fields.instructions ?? null,
    max_output_tokens: fields.max_output_tokens ?? null,
    max_tool_calls: fields.max_tool_calls ?? null,
    metadata: fields.metadata ?? {},
    model: fields.model ?? names[0]!,
    parallel_tool_calls: fields.parallel_tool_calls ?? true,
    previous_response_id: fields.previous_response_id ?? null,
    reasoning: { effort: fields.reasoning?.effort ?? null, summary: null },
    service_tier: 'default',
    store: isStored,
    temperature: fields.temperature ?? defaults.temperature ?? 1,
    text: { format: { type: 'text' }, ...fields.text },
    tool_choice: fields.tool_choice ?? 'auto',
    tools: fields.tools ?? [],
    top_logprobs: fields.top_logprobs ?? 0,
    top_p: fields.top_p ?? defaults.topP ?? 1,
    truncation: 'disabled',
    user: fields.user ?? null,
  };
}

/** The form of the answer. A schema's fields stand beside its type here. */
function readFormat({ text }: ResponseFields, exchange: Exchange): GenerateOptions {
  const { type, ...rest } = text?.format ?? { type: 'text' };
  if (type === 'text') return {};
  if (type !== 'json_schema' && type !== 'json_object')
    throw unsupported('text.format.type', `wanted text, json_object or json_schema, found ${JSON.stringify(type)}`);
  const jsonSchema = type === 'json_object' ? { type: 'object' } : rest.schema;
  if (typeof jsonSchema !== 'object' || jsonSchema === null || Array.isArray(jsonSchema))
    throw badRequest('text.format.schema', 'wanted a JSON Schema');
  exchange.fieldNames.jsonSchema = 'text.format.schema';
  return { jsonSchema };
}

/** A tool, whose fields stand beside its type here. */
function toolOf({ type, ...given }: { type: string }, i: number): GivenTool {
  if (type !== 'function') throw unsupported(`tools[${i}].type`, `wanted function, found ${JSON.stringify(type)}`);
  const read = functionFields.safeParse(given);
  if (read.success) return { type: 'function', function: read.data };
  const { path, message } = read.error.issues[0]!;
  throw badRequest(`tools[${i}].${path.join('.')}`, message);
}

function refuseUnsupported(fields: ResponseFields): void {
  const { background, conversation, prompt } = fields;
  if (background) throw unsupported('background', 'a response is made while its client waits');
  if (conversation !== undefined) throw unsupported('conversation', 'wanted the messages in input');
  if (prompt !== undefined) throw unsupported('prompt', 'this server keeps no prompts; wanted input');
  if (fields.truncation === 'auto') throw unsupported('truncation', 'wanted disabled: no message is left out');
}

/** The body of `POST /v1/messages`, and what it asks of the engine. */
import { z } from 'zod';
import { defined } from '../../options.js';
import type { ChatMessage, GenerateOptions, Tool } from '../../types.js';
import type { ServeContext } from '../context.js';
import type { Exchange } from '../exchange.js';
import { unusedHelp } from '../field-help.js';
import { readFields } from '../fields.js';
import { serveLimits } from '../limits.js';
import { samplingFields, samplingOptions, seededChoices } from '../openai/sampling.js';
import { readToolChoice } from '../openai/tool-choice.js';
import { type BodySchema, bodySchema } from '../openapi.js';
import type { ServedModel } from '../served-models.js';
import { readConversation, readTools } from './messages-input.js';

const { stop: _, ...ownSampling } = samplingFields;

const tool = z.looseObject({
  type: z.string().nullish(),
  name: z.string().min(1).max(256),
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()).optional(),
});

/** The fields of a conversation, of which tokens are counted or an answer is made. */
const conversationFields = {
  model: z.string().optional(),
  messages: z.array(z.unknown()).min(1).max(serveLimits.messages),
  system: z.union([z.string(), z.array(z.unknown())]).optional(),
  tools: z.array(tool).max(serveLimits.tools).optional(),
  tool_choice: z
    .looseObject({ type: z.enum(['auto', 'any', 'tool', 'none']), disable_parallel_tool_use: z.boolean().optional() })
    .optional(),
  thinking: z.looseObject({ type: z.enum(['enabled', 'disabled', 'adaptive']) }).optional(),
};

const countFields = z.object({ ...conversationFields, max_tokens: z.unknown().optional() });

const messageFields = z.object({
  ...conversationFields,
  max_tokens: z.int().min(1),
  stop_sequences: z.array(z.string().min(1)).max(serveLimits.stops).optional(),
  stream: z.boolean().optional(),
  ...ownSampling,
  // These change nothing here.
  metadata: z.unknown().optional(),
  service_tier: z.unknown().optional(),
  cache_control: z.unknown().optional(),
});

type Conversation = z.infer<typeof countFields>;

const help = {
  messages: 'The conversation. Blocks of text, thinking, tool_use and tool_result',
  system: 'The system text, or blocks of text. Default: none',
  tools: 'The tools that the client runs. Default: none',
  tool_choice: '`type`: auto, any, tool or none. Default: auto',
  thinking: "`type`: enabled and adaptive turn thinking on, disabled turns it off. Default: the template's own",
  max_tokens: 'The most tokens of the answer',
  stop_sequences: 'Texts that end the answer, 16 at most. Default: none',
};

/** The fields of a body as JSON Schema. */
export function messageSchema(): BodySchema {
  return bodySchema(messageFields, help);
}

/** The fields of a body whose tokens are counted, as JSON Schema. */
export function countSchema(): BodySchema {
  return bodySchema(countFields, { ...help, max_tokens: unusedHelp });
}

/** A conversation as the library takes it. */
export interface ConversationRequest {
  model: ServedModel;
  messages: readonly ChatMessage[];
  tools: readonly Tool[] | undefined;
  /** Which tools the answer calls. */
  choice: GenerateOptions;
  thinking: boolean | undefined;
}

/** A request for a message. */
export interface MessageRequest extends ConversationRequest {
  /** The model's name as the client has given it. */
  name: string;
  options: GenerateOptions;
  isStream: boolean;
}

/** Reads the body of a request that counts tokens. @throws ApiError naming the field */
export function readCountRequest(
  { settings, models }: ServeContext,
  exchange: Exchange,
  body: Record<string, unknown>,
): ConversationRequest {
  const fields = readFields(countFields, body, { settings, exchange });
  return conversationOf(fields, models.find(fields.model));
}

/** Reads a body. @throws ApiError naming the field */
export function readMessageRequest(
  { settings, models }: ServeContext,
  exchange: Exchange,
  body: Record<string, unknown>,
): MessageRequest {
  const fields = readFields(messageFields, body, { settings, exchange });
  const model = models.find(fields.model);
  const conversation = conversationOf(fields, model);
  const { stop_sequences: stop } = fields;
  const options: GenerateOptions = defined({
    ...samplingOptions({ ...fields, stop }),
    maxTokens: fields.max_tokens,
    ...conversation.choice,
    thinking: conversation.thinking,
  });
  return {
    ...conversation,
    name: fields.model ?? model.names[0]!,
    options: seededChoices(options, 1, fields.seed)[0]!,
    isStream: fields.stream === true,
  };
}

function conversationOf(fields: Conversation, model: ServedModel): ConversationRequest {
  const { tool_choice: choice, thinking, system, messages, tools } = fields;
  const read = readTools(tools);
  return {
    model,
    messages: readConversation(system, messages),
    tools: choice?.type === 'none' ? undefined : read,
    choice: readToolChoice(choiceOf(choice), read, choice?.disable_parallel_tool_use ? false : undefined),
    thinking: thinking === undefined ? undefined : thinking.type !== 'disabled',
  };
}

/** The choice of tools as OpenAI's interface has it. */
function choiceOf(choice: Conversation['tool_choice']): unknown {
  if (choice?.type === 'any') return 'required';
  return choice?.type === 'tool' ? { type: 'function', name: choice.name } : choice?.type;
}

/** Messages, tools and tool calls, as callers pass them in and get them back. */

/**
 * A tool the model may call, in the shape of the OpenAI API.
 *
 * @example
 * const weather: Tool = {
 *   type: 'function',
 *   function: {
 *     name: 'weather',
 *     description: 'The weather in a city',
 *     parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
 *   },
 * };
 * const { toolCalls } = await session.generate('Is it raining in Seoul?', { tools: [weather] });
 */
export interface Tool {
  type: 'function';
  function: {
    name: string;
    description?: string;
    /** A JSON Schema of the arguments. */
    parameters?: unknown;
    /** Whether each call of the tool must be valid by `parameters`. Default false. */
    strict?: boolean;
  };
}

/**
 * Which tools the model calls.
 *
 * @example
 * const toolChoice: ToolChoice = { type: 'function', function: { name: 'weather' } };
 * const { toolCalls } = await session.generate('Is it raining in Seoul?', { tools, toolChoice }); // one call
 */
export type ToolChoice = 'auto' | 'none' | 'required' | { type: 'function'; function: { name: string } };

/**
 * A call the model made.
 *
 * @example
 * const { toolCalls } = await session.generate(messages, { tools });
 * for (const { name, arguments: values, repaired } of toolCalls) console.log(name, values, repaired ?? false);
 */
export interface ToolCall {
  id: string;
  name: string;
  /**
   * The arguments as `JSON.parse` gives them: numbers are doubles. `{}` if the model gave none, or `null`.
   */
  arguments: unknown;
  /** The arguments as the model wrote them, to the character. Empty if it gave none. */
  rawArguments: string;
  /**
   * The arguments as JSON text with all digits, as the OpenAI API has them. That is `rawArguments`, unless the model
   * made mistakes or wrote the arguments in another form. `{}` if it gave none.
   */
  argumentsText: string;
  /**
   * True if the model wrote the call wrongly, but its meaning is beyond doubt: a closing tag or bracket is missing or
   * one too many, a string has a raw line end, a comma stands before a bracket, and the like. Absent otherwise.
   */
  repaired?: boolean;
  /**
   * JSON Pointers (`/id`, `/ids/0`) to numbers of `arguments` that a double cannot hold: integers above 2^53, which
   * were rounded, and numbers past 1.8e308. `rawArguments` has their digits.
   */
  inexactNumbers?: string[];
}

/**
 * A part of a call that is still being written. The first part of a call has its `name`. The texts of all its parts,
 * put together, are the call's `argumentsText`.
 *
 * @example
 * for await (const { toolCallDeltas } of session.generate(messages, { tools }))
 *   for (const { name, argumentsText } of toolCallDeltas) process.stdout.write(name ? `${name}: ` : argumentsText);
 */
export interface ToolCallDelta {
  /** The {@link ToolCall.id} of the call. */
  id: string;
  /** The number of the call in the answer, from 0. A call that later fails has a number, too. */
  index: number;
  name?: string;
  /** New text of the arguments. Empty in a part with the name. */
  argumentsText: string;
}

/**
 * Text that began as a call and cannot be read as one. It is a part of `text`, too: nothing is lost.
 *
 * @example
 * const { failedToolCalls } = await session.generate(messages, { tools });
 * for (const { rawText, reason } of failedToolCalls) console.warn(`${reason}: ${rawText}`);
 */
export interface FailedToolCall {
  /** The text that the model wrote, with its tags. */
  rawText: string;
  /** Why the text is no call, in a few words for people. */
  reason: string;
  /** The id of the call, if parts of it were given as {@link ToolCallDelta}. They are void. */
  id?: string;
}

/**
 * One turn of a conversation.
 *
 * @example
 * const conversation: Message[] = [
 *   { role: 'system', content: 'Answer in one sentence.' },
 *   { role: 'user', content: 'Why is the sky blue?' },
 * ];
 * const { text, reasoning } = await session.generate(conversation);
 * conversation.push({ role: 'assistant', content: text, reasoning });
 */
export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string | null;
  /** The assistant's thinking. Templates keep it for the turns after the last user message. */
  reasoning?: string;
  toolCalls?: readonly (ToolCall | { name: string; arguments: unknown })[];
  /** The id of the call that a `tool` message answers. For templates that print it. */
  toolCallId?: string;
  /** Who speaks. For templates that print it. */
  name?: string;
}

/**
 * One turn of a conversation as the OpenAI API has it. Its fields mean what those of {@link Message} mean.
 *
 * @example
 * const message: OpenAIMessage = { role: 'user', content: [{ type: 'text', text: 'Why is the sky blue?' }] };
 * const { text } = await session.generate([message]);
 */
export interface OpenAIMessage {
  /** `developer` is allowed if the model's template knows that role. */
  role: Message['role'] | 'developer';
  /** Parts of text are joined as they are. Anything but text is refused. */
  content?: string | null | readonly { type: 'text'; text: string }[];
  name?: string;
  reasoning_content?: string | null;
  tool_calls?: readonly {
    id?: string;
    type?: 'function';
    /** `arguments` is JSON, as text or as the value. */
    function: { name: string; arguments: unknown };
  }[];
  tool_call_id?: string;
  refusal?: null;
}

/**
 * A message in either spelling.
 *
 * @example
 * const conversation: ChatMessage[] = [
 *   { role: 'user', content: 'Is it raining?' },
 *   { role: 'assistant', content: null, tool_calls: [{ id: '1', function: { name: 'weather', arguments: '{}' } }] },
 *   { role: 'tool', toolCallId: '1', content: 'sunny' },
 * ];
 * const { text } = await session.generate(conversation);
 */
export type ChatMessage = Message | OpenAIMessage;

/**
 * Options of `applyChatTemplate`.
 *
 * @example
 * const options: ChatTemplateOptions = { thinking: false, tools };
 * console.log(model.tokenizer.applyChatTemplate(messages, options));
 */
export interface ChatTemplateOptions {
  /** Whether the model may think first. Default: the template's own, on for K-EXAONE. */
  thinking?: boolean;
  tools?: readonly Tool[];
  /** Whether to end with the start of the assistant's turn. Default true. */
  addGenerationPrompt?: boolean;
}

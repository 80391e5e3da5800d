/** The options of `generate`. */
import type { ChatMessage, Tool, ToolChoice } from './chat.js';

/**
 * How the next token is chosen. A field's default is the model's own, or else the one given here.
 *
 * @example
 * const sampling: SamplingOptions = { temperature: 0.6, topP: 0.95 };
 * const { text } = await session.generate('Hello', { ...sampling, maxTokens: 100 });
 */
export interface SamplingOptions {
  /** 0 is greedy: the highest logit, the lowest id among equals. Default 1. */
  temperature?: number;
  /** Keep the k most probable tokens; 0 keeps all. Default 0. */
  topK?: number;
  /** Keep the smallest set of most probable tokens whose probabilities reach this sum, in (0, 1]. Default 1. */
  topP?: number;
  /** Keep tokens at least this fraction as probable as the best, in [0, 1]. Default 0. */
  minP?: number;
  /** Logits of tokens already seen are divided (if positive) or multiplied by this. Default 1, none. */
  repeatPenalty?: number;
  /** How many last tokens `repeatPenalty` looks at; -1 is the whole context. Default -1. */
  repeatLastN?: number;
  /** Subtracted from the logit of every token generated before, in [-2, 2]. Default 0. */
  presencePenalty?: number;
  /** Subtracted once for every time the token was generated, in [-2, 2]. Default 0. */
  frequencyPenalty?: number;
}

/**
 * Options of `generate`.
 *
 * @example
 * const signal = AbortSignal.timeout(5000);
 * const options: GenerateOptions = { maxTokens: 200, temperature: 0, stop: ['\n\n'], signal };
 * const { text, finishReason } = await session.generate('Why is the sky blue?', options);
 */
export interface GenerateOptions extends SamplingOptions {
  /**
   * How many answers are wanted, 1 to 128. The prompt is computed once. Answer i is the one that a call with `seed` + i
   * would get. Pieces then have a `choice`, and the result has all answers as `choices`; its other fields are those of
   * the first. The session goes on from the first answer. Default 1, without these fields.
   *
   * @example
   * const { choices } = await model.generate('Name a fruit.', { n: 3, temperature: 1 });
   * for (const { text } of choices!) console.log(text);
   */
  n?: number;
  /** Most tokens to generate. Default: what is left of the context. */
  maxTokens?: number;
  /**
   * Before the answer has this many tokens, no end-of-turn token can be chosen. Stop texts and `maxTokens` end it all the
   * same. Default 0.
   */
  minTokens?: number;
  /**
   * A number for a token id is added to that token's logit before anything else. -Infinity, or a number below -3.4e38,
   * bans the token. A number above 3.4e38 is KEXA_INVALID_ARGUMENT, because the core has 32 bits for it. A logit that
   * bias or penalties would take past 3.4e38 stays there.
   */
  logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number>;
  /**
   * An integer from 0 to 2^53 - 1. The same seed, prompt, options and device give the same tokens. Default: random, and
   * so is -1.
   */
  seed?: number;
  /** Texts that end the answer; they are not part of it. They are searched for in the answer, not in the reasoning. */
  stop?: string | readonly string[];
  /** Whether to report log-probabilities, and how many alternatives (0 to 20) beside the chosen token. */
  logprobs?: boolean | number;
  /**
   * The number of tokens that the model's MTP block drafts a step, 1 to 8. Drafts never change the answer, whatever the
   * sampling: a draft is kept only if it is the token that is chosen anyway. `'auto'` drafts as many as pay, by how
   * many were kept and how long steps took on this device, or none. `false` and 0 draft none. Default `'auto'`, or
   * `false` for a model without the block.
   */
  mtp?: false | 'auto' | number;
  /**
   * The request goes before those of a lower priority, and gives up its room after them: an integer from -100 to 100.
   * Default 0.
   */
  priority?: number;
  /** Whether the answer goes on after an end-of-turn token. For benchmarks. Default false. */
  ignoreEos?: boolean;
  /** Whether the steps are counted and the last logits kept, which slows the answer. For measuring. Default false. */
  profile?: boolean;
  /** Whether the model may think first. Default: the template's own, on for K-EXAONE. */
  thinking?: boolean;
  /**
   * The answer's text is JSON that is valid by this JSON Schema. Properties come in the schema's order. A keyword that
   * cannot be kept is refused by name, never passed over. Thinking is free, and comes before the text.
   */
  jsonSchema?: object | boolean;
  /** The answer's text matches this pattern as a whole, in the syntax of JavaScript with the flag `u`. */
  regex?: string;
  /**
   * A grammar that the answer's text must be of, in EBNF: `root ::= "yes" | "no"`. Its rule `root` is the text. Thinking
   * is free, and comes first. XGrammar's documents describe the notation.
   */
  grammar?: string;
  /** The answer's text is one of these texts. */
  choice?: readonly string[];
  /** The tools that the model may call. */
  tools?: readonly Tool[];
  /**
   * Whether the model calls tools. `'auto'`: as it likes. `'none'`: it is not told of `tools`. `'required'`: the answer is
   * one call or several, and no text. A named function: it is one call of that function. Thinking comes first. Default
   * `'auto'`.
   */
  toolChoice?: ToolChoice;
  /** Whether an answer may have more than one call. Default true. */
  parallelToolCalls?: boolean;
  /** Whether a prompt string is taken as it is, with no chat template, and the answer is one text. Default false. */
  raw?: boolean;
  /**
   * Whether special tokens that are written out in messages and tools (`<|endofturn|>`) are read as those tokens.
   * Whoever wrote such a message can then end a turn and begin another, so this is for text of your own. With `raw`
   * special tokens are always read. Default false.
   */
  specialTokensInText?: boolean;
  /**
   * Is called with the number of the prompt's tokens that are in the cache, and the number of all: once at the start,
   * then after each chunk. An error that it throws ends the answer.
   */
  onPromptProgress?: (done: number, total: number) => void;
  /** Stops the answer, which then rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * Whether an answer that has begun resolves with its tokens so far when the signal stops it; `finishReason` is then
   * `aborted`. An answer that has no token yet rejects all the same. Default false.
   */
  stopOnAbortSignal?: boolean;
}

/**
 * Options of `prefill`, which mean what they mean in {@link GenerateOptions}. With `mtp` as a number the MTP block's
 * cache is complete for an answer with as many drafts.
 *
 * @example
 * const options: PrefillOptions = { raw: true, priority: -1 };
 * await session.prefill('In the beginning', options);
 */
export type PrefillOptions = Pick<
  GenerateOptions,
  'mtp' | 'priority' | 'thinking' | 'tools' | 'raw' | 'specialTokensInText' | 'onPromptProgress' | 'signal'
>;

/**
 * A prompt for `generate`: a user's message, a conversation, or token ids (which are used as they are).
 *
 * @example
 * await session.generate('a user\'s message');
 * await session.generate([{ role: 'user', content: 'a conversation' }]);
 * await session.generate(model.tokenizer.encode('token ids'));
 */
export type Prompt = string | readonly ChatMessage[] | readonly number[] | Uint32Array;

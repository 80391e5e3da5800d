import { KexaError } from '../errors.js';
import type { ChatMessage, ChatTemplateOptions } from '../types.js';
import { MessageReader, readTools } from './chat-messages.js';
import { ChatSources } from './chat-sources.js';
import { TemplateError, TemplateRefusal, TemplateSyntaxError, UnsupportedTemplateError } from './jinja/failure.js';
import { Template } from './jinja/template.js';
import type { Text } from './jinja/text.js';
import { text, type Value } from './jinja/values.js';
import { Pause } from './pause.js';
import { type ReasoningMarkers, reasoningOf } from './reply-markers.js';
import type { TextSpan } from './text-span.js';

/** The sources of a model's templates. */
export interface ChatTemplateSource {
  /** The model's folder, for messages. */
  folder: string;
  /** The text of chat_template.jinja, which wins over the config's templates. */
  file: string | undefined;
  /** Templates of other names than `default`, beside the file. */
  named?: ReadonlyMap<string, string> | undefined;
  /** tokenizer_config.json, for `chat_template` and the names of special tokens. */
  config: Record<string, unknown>;
}

/** A conversation as text, with the tokens that each part of it may become. */
export interface RenderedChat {
  text: string;
  /**
   * The spans for {@link Tokenizer.encode}. The template's own text is `all`, and so are the markers of thinking and
   * calls in an assistant's text. The rest of an assistant's text is `markers`, and all other text is `none`.
   */
  spans: TextSpan[];
}

/** Names under which other libraries know an option. */
const optionAdvice: Readonly<Record<string, string>> = {
  enable_thinking: 'thinking',
  enableThinking: 'thinking',
  add_generation_prompt: 'addGenerationPrompt',
};

/**
 * A model's chat template, by an engine that renders as Python's Jinja2 does; see {@link Template}.
 *
 * Each template is compiled at its first use and kept.
 */
export class ChatTemplate {
  readonly #folder: string;
  readonly #sources: Map<string, string>;
  readonly #specialTokens: ReadonlyMap<string, Value>;
  readonly #compiled = new Map<string, Template>();
  /** The markers around the thinking in an answer. */
  readonly reasoning: ReasoningMarkers;

  constructor({ folder, file, named, config }: ChatTemplateSource) {
    this.#folder = folder;
    this.#sources = templateSources({ file, named, config });
    // Some Windows editors begin a file with a byte order mark, which would become the first character of every prompt.
    for (const [name, source] of this.#sources) this.#sources.set(name, source.replace(/^\ufeff/, ''));
    this.reasoning = reasoningOf((marker) => this.mentions(marker));
    this.#specialTokens = new Map(Array.from(specialTokens(config), ([name, content]) => [name, text(content)]));
  }

  /** Whether a template has `text` in it. */
  mentions(text: string): boolean {
    return [...this.#sources.values()].some((source) => source.includes(text));
  }

  /**
   * The prompt of a conversation.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT for messages, tools or options of a wrong shape; KEXA_BAD_TEMPLATE if there
   *   is no template, it does not compile, it refuses the messages, or leaves out a system message, a tool or the user's last
   *   message; KEXA_UNSUPPORTED for a template that uses what the engine does not have
   */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): RenderedChat {
    const steps = this.#render(messages, options);
    let step = steps.next();
    while (!step.done) step = steps.next();
    return step.value;
  }

  /**
   * Renders as {@link render} does, without holding the event loop for long. Rejects with an aborted signal's reason.
   */
  async renderAsync(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions = {},
    signal?: AbortSignal,
  ): Promise<RenderedChat> {
    const pause = new Pause(signal);
    const steps = this.#render(messages, options);
    for (;;) {
      const step = steps.next();
      if (step.done) return step.value;
      if (pause.isDue) await pause.take();
    }
  }

  /** Renders the conversation. Each step does the work of one message. */
  *#render(messages: readonly ChatMessage[], options: ChatTemplateOptions): Generator<undefined, RenderedChat> {
    checkOptions(options);
    const { thinking, tools, addGenerationPrompt = true } = options;
    const name = tools?.length && this.#sources.has('tool_use') ? 'tool_use' : 'default';
    const sources = new ChatSources(this.reasoning);
    const reader = new MessageReader(sources, /['"]developer['"]/.test(this.#sources.get(name) ?? ''));
    if (!Array.isArray(messages))
      throw invalid(`messages: wanted an array, found ${messages === null ? 'null' : `a ${typeof messages}`}`);
    for (const message of messages) {
      reader.add(message);
      yield;
    }
    const variables = new Map<string, Value>([
      ...this.#specialTokens,
      ['messages', reader.finish()],
      ['tools', tools?.length ? readTools(tools, sources) : null],
      // Variables that transformers sets too.
      ['documents', null],
      ['add_generation_prompt', addGenerationPrompt],
    ]);
    // Templates have their own default, so the name exists only if the caller chose.
    if (thinking !== undefined) variables.set('enable_thinking', thinking);
    const template = this.#compile(name);
    const prompt = yield* this.#run(template, variables);
    const missing = sources.missing(prompt);
    if (missing !== undefined)
      throw new KexaError(
        'KEXA_BAD_TEMPLATE',
        `${this.#folder}: the chat template leaves out ${missing}: the model would not see it`,
      );
    return { text: prompt.value, spans: sources.spansOf(prompt) };
  }

  *#run(template: Template, variables: ReadonlyMap<string, Value>): Generator<undefined, Text> {
    try {
      return yield* template.renderPausing(variables);
    } catch (cause) {
      if (!(cause instanceof TemplateError)) throw cause;
      if (cause instanceof TemplateRefusal) throw this.#error('refused the messages', cause.message, cause);
      const where = cause.line === undefined ? '' : `line ${cause.line}: `;
      throw this.#error('failed', where + cause.message, cause);
    }
  }

  #error(what: string, reason: string, cause: Error): KexaError {
    const isUnsupported =
      cause instanceof UnsupportedTemplateError || (cause instanceof TemplateSyntaxError && cause.isUnsupported);
    if (!isUnsupported)
      return new KexaError('KEXA_BAD_TEMPLATE', `${this.#folder}: the chat template ${what}: ${reason}`, { cause });
    return new KexaError(
      'KEXA_UNSUPPORTED',
      `${this.#folder}: the chat template uses what this version does not have: ${reason}`,
      { cause },
    );
  }

  #compile(name: string): Template {
    const known = this.#compiled.get(name);
    if (known) return known;
    const source = this.#sources.get(name);
    if (source === undefined) {
      const others = [...this.#sources.keys()];
      const found = others.length > 0 ? `none named 'default', found ${others.join(', ')}` : 'found none';
      throw new KexaError(
        'KEXA_BAD_TEMPLATE',
        `${this.#folder}: wanted a chat template (chat_template.jinja, tokenizer_config.json, a GGUF file's metadata), ` +
          `${found}; use raw: true to give the prompt as it is`,
      );
    }
    try {
      const template = new Template(source);
      this.#compiled.set(name, template);
      return template;
    } catch (cause) {
      if (!(cause instanceof TemplateSyntaxError)) throw cause;
      throw this.#error('does not compile', cause.message, cause);
    }
  }
}

function checkOptions(options: ChatTemplateOptions): void {
  if (typeof options !== 'object' || options === null) throw invalid('applyChatTemplate: wanted an object of options');
  for (const [name, value] of Object.entries(options)) {
    if (name === 'tools') continue;
    if (name !== 'thinking' && name !== 'addGenerationPrompt') {
      const instead = Object.hasOwn(optionAdvice, name)
        ? `use ${optionAdvice[name]}`
        : 'there are thinking, tools and addGenerationPrompt';
      throw invalid(`applyChatTemplate: there is no option '${name}'; ${instead}`);
    }
    if (value !== undefined && typeof value !== 'boolean')
      throw invalid(`${name}: wanted true or false, found ${value === null ? 'null' : typeof value}`);
  }
}

function invalid(message: string): KexaError {
  return new KexaError('KEXA_INVALID_ARGUMENT', message);
}

/** A model's templates by name. `default` and `tool_use` are used. */
export function templateSources({ file, named, config }: Omit<ChatTemplateSource, 'folder'>): Map<string, string> {
  return new Map([
    ...(file === undefined ? configTemplates(config.chat_template) : [['default', file] as const]),
    ...(named ?? []),
  ]);
}

/** The templates of a config: one text, or a list of `{ name, template }`. */
function configTemplates(value: unknown): [string, string][] {
  if (typeof value === 'string') return [['default', value]];
  const named = (Array.isArray(value) ? value : []) as { name?: unknown; template?: unknown }[];
  return named.flatMap((entry) =>
    typeof entry?.name === 'string' && typeof entry.template === 'string'
      ? [[entry.name, entry.template] as [string, string]]
      : [],
  );
}

/** `bos_token` and its kind; the config has them as text or as an added token's object. */
export function specialTokens(config: Record<string, unknown>): Map<string, string> {
  const tokens = new Map<string, string>();
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith('_token')) continue;
    const content = typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    if (typeof content === 'string') tokens.set(name, content);
  }
  return tokens;
}

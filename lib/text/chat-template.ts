import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { KexaError } from '../errors.js';
import type { ChatTemplateOptions, Message } from '../types.js';
import { toTemplateMessages, toTemplateTools } from './chat-messages.js';

type Program = ReturnType<typeof parse>;

/** Where a template can come from. */
export interface ChatTemplateSource {
  /** The model's folder, for messages. */
  folder: string;
  /** The text of chat_template.jinja; it goes before the config's templates. */
  file: string | undefined;
  /** tokenizer_config.json, for `chat_template` and the names of special tokens. */
  config: Record<string, unknown>;
}

/**
 * A model's chat template, with what Hugging Face defines for templates.
 *
 * Each template is compiled at its first use and kept. Blocks are trimmed as Hugging Face does (trim_blocks and
 * lstrip_blocks), and `tojson` writes what Python's json.dumps(ensure_ascii=False) does.
 */
export class ChatTemplate {
  readonly #folder: string;
  readonly #sources: ReadonlyMap<string, string>;
  readonly #specialTokens: Readonly<Record<string, string>>;
  readonly #compiled = new Map<string, Program>();

  constructor({ folder, file, config }: ChatTemplateSource) {
    this.#folder = folder;
    this.#sources = file === undefined ? configTemplates(config.chat_template) : new Map([['default', file]]);
    this.#specialTokens = specialTokens(config);
  }

  /** Whether a template has `text` in it. */
  mentions(text: string): boolean {
    return [...this.#sources.values()].some((source) => source.includes(text));
  }

  /**
   * The prompt text of a conversation.
   *
   * Throws KEXA_INVALID_ARGUMENT for messages, tools or options of a wrong shape, and KEXA_BAD_TEMPLATE if there is
   * no template, it does not compile, or it refuses the messages.
   */
  render(
    messages: readonly Message[],
    { thinking, tools, addGenerationPrompt = true }: ChatTemplateOptions = {},
  ): string {
    const variables: Record<string, unknown> = {
      ...globals,
      ...this.#specialTokens,
      messages: toTemplateMessages(messages),
      tools: tools?.length ? toTemplateTools(tools) : null,
      add_generation_prompt: addGenerationPrompt,
    };
    // Templates have their own default, so the name exists only if the caller chose.
    if (thinking !== undefined) variables.enable_thinking = thinking;
    const name = tools?.length && this.#sources.has('tool_use') ? 'tool_use' : 'default';
    const template = this.#compile(name);
    try {
      const environment = new Environment();
      for (const [variable, value] of Object.entries(variables)) environment.set(variable, value);
      return String(new Interpreter(environment).run(template).value);
    } catch (cause) {
      const reason = cause instanceof TemplateRefusal ? 'refused the messages' : 'failed';
      throw new KexaError(
        'KEXA_BAD_TEMPLATE',
        `${this.#folder}: the chat template ${reason}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  #compile(name: string): Program {
    const known = this.#compiled.get(name);
    if (known) return known;
    const source = this.#sources.get(name);
    if (source === undefined)
      throw new KexaError(
        'KEXA_BAD_TEMPLATE',
        `${this.#folder}: no chat template in chat_template.jinja or tokenizer_config.json; ` +
          'use raw: true to give the prompt as it is',
      );
    try {
      const template = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
      this.#compiled.set(name, template);
      return template;
    } catch (cause) {
      const reason = (cause as Error).message;
      throw new KexaError('KEXA_BAD_TEMPLATE', `${this.#folder}: the chat template does not compile: ${reason}`, {
        cause,
      });
    }
  }
}

class TemplateRefusal extends Error {}

// The library's own Template class defines these too, but its dates are in the machine's language.
const globals: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  strftime_now: (format: string) => strftime(new Date(), format),
  raise_exception: (message: unknown) => {
    throw new TemplateRefusal(String(message));
  },
};

/** Python's range. */
function range(first: number, second?: number | null, step = 1): number[] {
  const [start, stop] = second === undefined || second === null ? [0, first] : [first, second];
  if (step === 0) throw new Error('range() step must not be zero');
  return Array.from({ length: Math.max(0, Math.ceil((stop - start) / step)) }, (_, i) => start + i * step);
}

function configTemplates(value: unknown): Map<string, string> {
  if (typeof value === 'string') return new Map([['default', value]]);
  const named = (Array.isArray(value) ? value : []) as { name?: unknown; template?: unknown }[];
  return new Map(
    named.flatMap((entry) =>
      typeof entry?.name === 'string' && typeof entry.template === 'string'
        ? [[entry.name, entry.template] as [string, string]]
        : [],
    ),
  );
}

/** `bos_token` and its kind; the config has them as text or as an added token's object. */
function specialTokens(config: Record<string, unknown>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith('_token')) continue;
    const text = typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    if (typeof text === 'string') tokens[name] = text;
  }
  return tokens;
}

/** Python's strftime in the C locale. */
function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const word = (options: Intl.DateTimeFormatOptions) => date.toLocaleDateString('en-US', options);
  const fields: Record<string, () => string> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    p: () => (date.getHours() < 12 ? 'AM' : 'PM'),
    a: () => word({ weekday: 'short' }),
    A: () => word({ weekday: 'long' }),
    b: () => word({ month: 'short' }),
    B: () => word({ month: 'long' }),
    '%': () => '%',
  };
  return format.replace(/%([a-zA-Z%])/g, (directive, letter: string) => fields[letter]?.() ?? directive);
}

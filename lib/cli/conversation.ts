import { readFileSync, statSync } from 'node:fs';
import { KexaError } from '../errors.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { checkMessages } from '../text/chat-messages.js';
import type { ChatMessage } from '../types.js';

/** The conversation so far: a system message, if one is at the start, and the messages after it, of any role. */
export class Conversation {
  /** The system message before the turns. Null if there is none. */
  system: string | null;
  #turns: ChatMessage[] = [];

  constructor(system: string | null) {
    this.system = system;
  }

  /** The messages in the form that `generate` takes. */
  get messages(): ChatMessage[] {
    return this.system === null ? [...this.#turns] : [{ role: 'system', content: this.system }, ...this.#turns];
  }

  get isEmpty(): boolean {
    return this.#turns.length === 0;
  }

  ask(content: string): void {
    this.#turns.push({ role: 'user', content });
  }

  answer(content: string, reasoning: string): void {
    this.#turns.push({ role: 'assistant', content, ...(reasoning !== '' && { reasoning }) });
  }

  clear(): void {
    this.#turns = [];
  }

  /** Removes the last question and everything after it. Returns the question, or null if there is none. */
  undo(): string | null {
    const last = this.#turns.findLastIndex(({ role }) => role === 'user');
    if (last === -1) return null;
    const [question] = this.#turns.splice(last);
    return contentText(question!);
  }

  /**
   * Writes the messages as JSON. Replaces a file only if it holds a conversation, and only once the new one is written.
   *
   * @throws KexaError KEXA_WRITE_FAILED
   */
  async save(file: string): Promise<void> {
    if (isOtherFile(file))
      throw new KexaError(
        'KEXA_WRITE_FAILED',
        `${file}: there is a file that holds no conversation; give another name, or remove it first`,
      );
    await writeFileAtomic(file, `${JSON.stringify(this.messages, null, 2)}\n`);
  }

  /**
   * Replaces the conversation by the messages of a file, in the form of `save` or of the OpenAI API. Nothing changes if
   * the file holds anything else.
   *
   * @throws KexaError KEXA_BAD_FILE, naming the message and the field
   */
  load(file: string): void {
    const [first, ...rest] = readMessages(file);
    const isSystem = first?.role === 'system' && Object.keys(first).length === 2;
    this.system = isSystem ? contentText(first) : null;
    this.#turns = isSystem || first === undefined ? rest : [first, ...rest];
  }
}

/** A message's content as one text. */
export function contentText({ content }: ChatMessage): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map(({ text }) => text).join('');
}

/** Whether a file exists and holds no conversation. */
function isOtherFile(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size === 0) return false;
  try {
    readMessages(file);
    return false;
  } catch {
    return true;
  }
}

function readMessages(file: string): ChatMessage[] {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new KexaError('KEXA_BAD_FILE', `${file}: ${(cause as Error).message}`, { cause });
  }
  try {
    checkMessages(json);
  } catch (cause) {
    throw new KexaError(
      'KEXA_BAD_FILE',
      `${file}: wanted messages, as /save writes them: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
  return json;
}

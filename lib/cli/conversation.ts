import { readFileSync } from 'node:fs';
import { KexaError } from '../errors.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import type { Message } from '../types.js';

/** What was said so far: a system message, if there is one, and turns of the user and the assistant. */
export class Conversation {
  /** Put before the turns; null is none. */
  system: string | null;
  #turns: Message[] = [];

  constructor(system: string | null) {
    this.system = system;
  }

  /** As `generate` takes it. */
  get messages(): Message[] {
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

  /** Takes back the last question, with its answer. Gives the question, or null if there is none. */
  undo(): string | null {
    const last = this.#turns.findLastIndex(({ role }) => role === 'user');
    if (last === -1) return null;
    const [question] = this.#turns.splice(last);
    return question!.content;
  }

  /** Writes the messages as JSON. A file that was there is kept until they are written. @throws KexaError KEXA_WRITE_FAILED */
  async save(file: string): Promise<void> {
    await writeFileAtomic(file, `${JSON.stringify(this.messages, null, 2)}\n`);
  }

  /** Replaces all by what `save` wrote. Nothing changes if the file is no such thing. */
  load(file: string): void {
    const messages = readMessages(file);
    this.system = messages[0]?.role === 'system' ? messages[0].content : null;
    this.#turns = messages.filter(({ role }) => role !== 'system');
  }
}

function readMessages(file: string): Message[] {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new KexaError('KEXA_BAD_FILE', `${file}: ${(cause as Error).message}`, { cause });
  }
  if (!Array.isArray(json) || !json.every(isMessage)) {
    throw new KexaError('KEXA_BAD_FILE', `${file}: wanted an array of { role, content }, as /save writes`);
  }
  return json;
}

function isMessage(value: Partial<Message> | null): value is Message {
  const isKnown = value?.role === 'system' || value?.role === 'user' || value?.role === 'assistant';
  const { content, reasoning } = value ?? {};
  return isKnown && typeof content === 'string' && (reasoning === undefined || typeof reasoning === 'string');
}

/** The file that conversations are exported to and imported from. docs/serve.md describes it. */
import { type Conversation, type Figures, failures, type Turn, type TurnError, turnEnds } from './conversation.js';

const format = 'kexa-conversations';
const version = 1;

/** A conversation with its turns. */
export interface WholeConversation {
  conversation: Conversation;
  turns: Turn[];
}

/** Thrown for a file that is no archive. The message tells what was wanted, what was found, and where. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

/** The text of an archive. */
export function writeArchive(conversations: readonly WholeConversation[], now: Date): string {
  const entries = conversations.map(({ conversation, turns }) => ({
    ...conversation,
    turns: turns.toSorted((a, b) => a.createdAt - b.createdAt).map(({ conversation: _, ...turn }) => turn),
  }));
  return `${JSON.stringify({ format, version, exportedAt: now.toISOString(), conversations: entries }, null, 1)}\n`;
}

/**
 * The conversations of an archive.
 *
 * @throws ArchiveError if the text is not JSON, or a field is missing or of the wrong type. Nothing is imported then.
 */
export function readArchive(text: string): WholeConversation[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ArchiveError(`wanted JSON: ${(error as Error).message}`);
  }
  const file = record(value, 'the file');
  if (file.format !== format) throw wanted('format', `"${format}"`, file.format);
  if (file.version !== version) throw wanted('version', String(version), file.version);
  return list(file.conversations, 'conversations').map((entry, i) => conversationOf(entry, `conversations[${i}]`));
}

function conversationOf(value: unknown, at: string): WholeConversation {
  const entry = record(value, at);
  const id = textOf(entry, 'id', at);
  const chosen = Object.entries(record(entry.chosen, `${at}.chosen`));
  for (const [key, child] of chosen)
    if (typeof child !== 'string') throw wanted(`${at}.chosen.${key}`, 'a text', child);
  const turns = list(entry.turns, `${at}.turns`).map((turn, i) => turnOf(turn, id, `${at}.turns[${i}]`));
  const ids = new Set(turns.map((turn) => turn.id));
  for (const [i, { parent }] of turns.entries())
    if (parent !== null && !ids.has(parent)) throw wanted(`${at}.turns[${i}].parent`, 'the id of a turn', parent);
  return {
    conversation: {
      id,
      title: textOf(entry, 'title', at),
      system: textOf(entry, 'system', at),
      createdAt: numberOf(entry, 'createdAt', at),
      updatedAt: numberOf(entry, 'updatedAt', at),
      chosen: Object.fromEntries(chosen) as Record<string, string>,
    },
    turns,
  };
}

function turnOf(value: unknown, conversation: string, at: string): Turn {
  const entry = record(value, at);
  return {
    id: textOf(entry, 'id', at),
    conversation,
    parent: entry.parent === null ? null : textOf(entry, 'parent', at),
    role: oneOf(entry, 'role', ['user', 'assistant'] as const, at),
    text: textOf(entry, 'text', at),
    reasoning: textOf(entry, 'reasoning', at),
    files: list(entry.files, `${at}.files`).map((file, i) => {
      const one = record(file, `${at}.files[${i}]`);
      return { name: textOf(one, 'name', `${at}.files[${i}]`), text: textOf(one, 'text', `${at}.files[${i}]`) };
    }),
    createdAt: numberOf(entry, 'createdAt', at),
    model: entry.model === null ? null : textOf(entry, 'model', at),
    end: oneOf(entry, 'end', turnEnds, at),
    error: entry.error === null ? null : errorOf(entry.error, `${at}.error`),
    figures: entry.figures === null ? null : figuresOf(entry.figures, `${at}.figures`),
  };
}

function errorOf(value: unknown, at: string): TurnError {
  const entry = record(value, at);
  return { kind: oneOf(entry, 'kind', failures, at), message: textOf(entry, 'message', at) };
}

function figuresOf(value: unknown, at: string): Figures {
  const entry = record(value, at);
  return {
    promptTokens: numberOf(entry, 'promptTokens', at),
    cachedTokens: numberOf(entry, 'cachedTokens', at),
    completionTokens: numberOf(entry, 'completionTokens', at),
    tokensPerSecond: entry.tokensPerSecond === null ? null : numberOf(entry, 'tokensPerSecond', at),
    firstTokenMs: numberOf(entry, 'firstTokenMs', at),
    drafted: numberOf(entry, 'drafted', at),
    accepted: numberOf(entry, 'accepted', at),
  };
}

function wanted(at: string, what: string, found: unknown): ArchiveError {
  const text = JSON.stringify(found) ?? 'nothing';
  return new ArchiveError(`${at}: wanted ${what}, found ${text.length > 40 ? `${text.slice(0, 39)}…` : text}`);
}

function record(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw wanted(at, 'an object', value);
}

function list(value: unknown, at: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw wanted(at, 'a list', value);
}

function textOf(entry: Record<string, unknown>, key: string, at: string): string {
  const value = entry[key];
  if (typeof value === 'string') return value;
  throw wanted(`${at}.${key}`, 'a text', value);
}

function numberOf(entry: Record<string, unknown>, key: string, at: string): number {
  const value = entry[key];
  if (typeof value === 'number') return value;
  throw wanted(`${at}.${key}`, 'a number', value);
}

function oneOf<T extends string>(entry: Record<string, unknown>, key: string, values: readonly T[], at: string): T {
  const value = entry[key];
  if (values.includes(value as T)) return value as T;
  throw wanted(`${at}.${key}`, `one of ${values.join(', ')}`, value);
}

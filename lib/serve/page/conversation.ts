/** Conversations as the page keeps them, and the tree of their turns. */

/** A text file that was added to a question. */
export interface AttachedFile {
  name: string;
  text: string;
}

/**
 * How a turn ended. `writing`: it has not. `stop`, `length`: as the server said. `stopped`: by the button. `cut`: the
 * page was closed in the middle. `failed`: see {@link Turn.error}.
 */
export const turnEnds = ['writing', 'stop', 'length', 'stopped', 'cut', 'failed'] as const;
export type TurnEnd = (typeof turnEnds)[number];

/** The kinds of errors that the page explains in words of its own. */
export const failures = ['unreachable', 'broken', 'key', 'busy', 'context', 'refused', 'server'] as const;
export type Failure = (typeof failures)[number];

/** Why an answer failed: the kind, and the server's own words. */
export interface TurnError {
  kind: Failure;
  message: string;
}

/** The tokens and the time of an answer. */
export interface Figures {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  /** Tokens a second, from the first token of the answer to the last. Null for an answer of one token. */
  tokensPerSecond: number | null;
  /** From the question to the first token (milliseconds). */
  firstTokenMs: number;
  drafted: number;
  accepted: number;
}

/** A question or an answer. */
export interface Turn {
  id: string;
  conversation: string;
  /** The id of the turn before. Null for a first one. */
  parent: string | null;
  role: 'user' | 'assistant';
  text: string;
  /** The model's thinking. */
  reasoning: string;
  files: AttachedFile[];
  /** Milliseconds since 1970. */
  createdAt: number;
  /** The model that answered. Null for a question. */
  model: string | null;
  end: TurnEnd;
  error: TurnError | null;
  figures: Figures | null;
}

/** A conversation without its turns. */
export interface Conversation {
  id: string;
  title: string;
  /** The system prompt. Empty for none. */
  system: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  updatedAt: number;
  /** The version that is shown, by the id of the turn before; of first turns by the empty string. */
  chosen: Record<string, string>;
}

/** A message as the server takes it. */
export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

const titleLength = 60;

/** A new id. It works on pages that were not fetched by HTTPS as well, where `crypto.randomUUID` does not exist. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

let latest = 0;

/** The time (milliseconds since 1970), but never the same twice, so that turns are in order by it. */
export function newTime(): number {
  latest = Math.max(Date.now(), latest + 1);
  return latest;
}

/** The versions of a turn, the oldest first: all turns that follow the same one. */
export function versionsOf(turns: readonly Turn[], parent: string | null): Turn[] {
  return turns.filter((turn) => turn.parent === parent).sort((a, b) => a.createdAt - b.createdAt);
}

/** The turns that are shown, from the first on. Where no version was chosen, the newest is shown. */
export function pathOf(turns: readonly Turn[], chosen: Readonly<Record<string, string>>): Turn[] {
  const children = new Map<string, Turn[]>();
  for (const turn of turns) {
    const key = turn.parent ?? '';
    const siblings = children.get(key);
    if (siblings) siblings.push(turn);
    else children.set(key, [turn]);
  }
  const path: Turn[] = [];
  const seen = new Set<string>();
  for (let key = ''; ; ) {
    const versions = children.get(key) ?? [];
    const next =
      versions.find((turn) => turn.id === chosen[key]) ??
      versions.reduce<Turn | undefined>((a, b) => (a && a.createdAt > b.createdAt ? a : b), undefined);
    if (!next || seen.has(next.id)) return path;
    seen.add(next.id);
    path.push(next);
    key = next.id;
  }
}

/** The choices with one changed: `turn` is shown among its versions. */
export function choose(chosen: Readonly<Record<string, string>>, turn: Turn): Record<string, string> {
  return { ...chosen, [turn.parent ?? '']: turn.id };
}

/** The messages that the server is asked: the system prompt and the turns. Answers without any text are left out. */
export function messagesOf(system: string, path: readonly Turn[]): Message[] {
  const messages: Message[] = system.trim() === '' ? [] : [{ role: 'system', content: system }];
  for (const turn of path) {
    if (turn.role === 'assistant' && turn.text === '') continue;
    messages.push({ role: turn.role, content: turn.role === 'user' ? contentOf(turn) : turn.text });
  }
  return messages;
}

/** A question's text followed by its files, each in a fence that is longer than any fence in it. */
function contentOf({ text, files }: Turn): string {
  const parts = files.map((file) => {
    const longest = Math.max(2, ...Array.from(file.text.matchAll(/`+/g), ([run]) => run.length));
    const fence = '`'.repeat(longest + 1);
    return `${file.name}:\n${fence}\n${file.text.replace(/\n$/, '')}\n${fence}`;
  });
  return [text, ...parts].filter((part) => part !== '').join('\n\n');
}

/** A title for a conversation: the beginning of its first question. */
export function titleFrom(text: string, files: readonly AttachedFile[]): string {
  const line = (text.trim() || files.map(({ name }) => name).join(', ')).replace(/\s+/g, ' ');
  const letters = Array.from(line);
  return letters.length <= titleLength
    ? line
    : `${letters
        .slice(0, titleLength - 1)
        .join('')
        .trimEnd()}…`;
}

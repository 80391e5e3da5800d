/** Where conversations are kept: in the browser's IndexedDB, or in memory where the browser allows none. */
import type { WholeConversation } from './archive.js';
import type { Conversation, Turn } from './conversation.js';

/** A store of conversations. Turns are written one by one, so that two tabs do not overwrite each other's. */
export interface Store {
  /** All conversations, in no order. */
  conversations(): Promise<Conversation[]>;
  turns(conversation: string): Promise<Turn[]>;
  putConversation(conversation: Conversation): Promise<void>;
  putTurn(turn: Turn): Promise<void>;
  remove(conversation: string): Promise<void>;
  /** The ids of the conversations whose turns or system prompt hold the text, whatever its capitals. */
  search(text: string): Promise<Set<string>>;
}

/** Everything in the store. */
export async function readAll(store: Store): Promise<WholeConversation[]> {
  const conversations = await store.conversations();
  return await Promise.all(
    conversations.map(async (conversation) => ({ conversation, turns: await store.turns(conversation.id) })),
  );
}

/**
 * Adds conversations. A conversation that is there already gets the turns that it lacks; the one changed last gives
 * title, system prompt and versions.
 */
export async function addAll(store: Store, added: readonly WholeConversation[]): Promise<void> {
  const present = new Map((await store.conversations()).map((one) => [one.id, one]));
  for (const { conversation, turns } of added) {
    const before = present.get(conversation.id);
    const known = new Set(before ? (await store.turns(conversation.id)).map(({ id }) => id) : []);
    for (const turn of turns) if (!known.has(turn.id)) await store.putTurn(turn);
    if (!before || before.updatedAt < conversation.updatedAt) await store.putConversation(conversation);
  }
}

/** Whether a turn holds the text, which is in small letters. */
export function turnHolds({ text, reasoning, files }: Turn, wanted: string): boolean {
  const texts = [text, reasoning, ...files.flatMap((file) => [file.name, file.text])];
  return texts.some((one) => one.toLowerCase().includes(wanted));
}

/** A store that lasts as long as the page. */
export class MemoryStore implements Store {
  readonly #conversations = new Map<string, Conversation>();
  readonly #turns = new Map<string, Turn>();

  async conversations(): Promise<Conversation[]> {
    return [...this.#conversations.values()];
  }

  async turns(conversation: string): Promise<Turn[]> {
    return [...this.#turns.values()].filter((turn) => turn.conversation === conversation);
  }

  async putConversation(conversation: Conversation): Promise<void> {
    this.#conversations.set(conversation.id, conversation);
  }

  async putTurn(turn: Turn): Promise<void> {
    this.#turns.set(turn.id, turn);
  }

  async remove(conversation: string): Promise<void> {
    this.#conversations.delete(conversation);
    for (const turn of await this.turns(conversation)) this.#turns.delete(turn.id);
  }

  async search(text: string): Promise<Set<string>> {
    const wanted = text.toLowerCase();
    const found = [...this.#turns.values()].filter((turn) => turnHolds(turn, wanted)).map((turn) => turn.conversation);
    for (const { id, system } of this.#conversations.values())
      if (system.toLowerCase().includes(wanted)) found.push(id);
    return new Set(found);
  }
}

/** Conversations in the browser's IndexedDB. */
import type { Conversation, Turn } from './conversation.js';
import { type Store, turnHolds } from './store.js';

const databaseName = 'kexa';
const databaseVersion = 1;

/** Opens the database, which is made on first use. Rejects where the browser allows none. */
export async function openIndexedStore(): Promise<Store> {
  const opening = indexedDB.open(databaseName, databaseVersion);
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore('conversations', { keyPath: 'id' });
    opening.result.createObjectStore('turns', { keyPath: 'id' }).createIndex('conversation', 'conversation');
  };
  return new IndexedStore(await resultOf(opening));
}

class IndexedStore implements Store {
  readonly #database: IDBDatabase;

  constructor(database: IDBDatabase) {
    this.#database = database;
  }

  async conversations(): Promise<Conversation[]> {
    return await resultOf(this.#open('conversations', 'readonly').getAll());
  }

  async turns(conversation: string): Promise<Turn[]> {
    return await resultOf(this.#open('turns', 'readonly').index('conversation').getAll(conversation));
  }

  async putConversation(conversation: Conversation): Promise<void> {
    await resultOf(this.#open('conversations', 'readwrite').put(conversation));
  }

  async putTurn(turn: Turn): Promise<void> {
    await resultOf(this.#open('turns', 'readwrite').put(turn));
  }

  async remove(conversation: string): Promise<void> {
    await resultOf(this.#open('conversations', 'readwrite').delete(conversation));
    const turns = this.#open('turns', 'readwrite');
    const ids = await resultOf(turns.index('conversation').getAllKeys(conversation));
    await Promise.all(ids.map((id) => resultOf(turns.delete(id))));
  }

  async search(text: string): Promise<Set<string>> {
    const wanted = text.toLowerCase();
    const found = new Set<string>();
    for (const { id, system } of await this.conversations()) if (system.toLowerCase().includes(wanted)) found.add(id);
    // A cursor holds one turn at a time, where all of them might be hundreds of megabytes.
    const asking = this.#open('turns', 'readonly').openCursor();
    await new Promise<void>((resolve, reject) => {
      asking.onerror = () => reject(asking.error);
      asking.onsuccess = () => {
        const cursor = asking.result;
        if (!cursor) return resolve();
        const turn = cursor.value as Turn;
        if (!found.has(turn.conversation) && turnHolds(turn, wanted)) found.add(turn.conversation);
        cursor.continue();
      };
    });
    return found;
  }

  #open(store: string, mode: IDBTransactionMode): IDBObjectStore {
    return this.#database.transaction(store, mode).objectStore(store);
  }
}

function resultOf<T>(asking: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    asking.onsuccess = () => resolve(asking.result);
    asking.onerror = () => reject(asking.error);
  });
}

/** Responses that are kept in memory, so that later requests can refer to them. */
import type { ChatMessage } from '../../types.js';
import { badRequest, notFound } from '../errors.js';
import { serveLimits } from '../limits.js';

/** A response that is kept. */
export interface StoredResponse {
  response: { id: string };
  /** The conversation up to the response, with it. */
  messages: readonly ChatMessage[];
  /** The key of the client that it belongs to. */
  keyLabel: string | null;
}

/** The last responses, up to a number and to so many characters in all; the one that was used least lately goes first. */
export class ResponseStore {
  readonly #most: number;
  readonly #mostCharacters: number;
  /** The responses by their names, each with its characters as JSON. The one used last is at the end. */
  readonly #kept = new Map<string, { stored: StoredResponse; size: number }>();
  /** The characters of all of them. */
  #characters = 0;

  constructor(most: number, mostCharacters: number = serveLimits.storedCharacters) {
    this.#most = most;
    this.#mostCharacters = mostCharacters;
  }

  keep(stored: StoredResponse): void {
    const { id } = stored.response;
    const size = JSON.stringify([stored.response, stored.messages]).length;
    this.#kept.set(id, { stored, size });
    this.#characters += size;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#most && this.#characters <= this.#mostCharacters) return;
      this.#forget(oldest);
    }
  }

  #forget(id: string): void {
    this.#characters -= this.#kept.get(id)?.size ?? 0;
    this.#kept.delete(id);
  }

  /** The response of that name. @throws ApiError 404, or 400 if none are kept */
  find(id: string, keyLabel: string | null): StoredResponse {
    if (this.#most === 0)
      throw badRequest(
        'previous_response_id',
        'this server keeps no responses; start it with --store-responses 1000, or send the whole conversation as input',
        'unsupported',
      );
    const found = this.#kept.get(id);
    if (found === undefined || found.stored.keyLabel !== keyLabel)
      throw notFound(`response: there is no response '${id}' here`, 'not_found', 'previous_response_id');
    this.#kept.delete(id);
    this.#kept.set(id, found);
    return found.stored;
  }

  /** Forgets a response. @throws ApiError as {@link find} does */
  delete(id: string, keyLabel: string | null): void {
    this.find(id, keyLabel);
    this.#forget(id);
  }
}

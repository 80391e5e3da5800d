/** How a server ends: unready first, then no new connections, then no answers. */
import type { Server } from 'node:http';
import { unavailable } from './errors.js';
import type { Exchange } from './exchange.js';

/** Milliseconds for streams to tell their clients that they are cut off. */
const farewellMs = 500;

/** The exchanges that are under way, and whether the server takes more. */
export class Drain {
  readonly #open = new Set<Exchange>();
  #isDraining = false;
  #http: Server | undefined;
  #onEmpty = () => {};

  /** Whether the server is about to end. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** The number of exchanges under way. */
  get open(): number {
    return this.#open.size;
  }

  /** Keeps an exchange in mind until its answer has ended or its client has left. */
  add(exchange: Exchange): void {
    this.#open.add(exchange);
    void exchange.closed.then(() => {
      this.#open.delete(exchange);
      // A connection that is kept for later requests would hold up the end. It is idle only after its close event.
      if (this.#isDraining) setImmediate(() => this.#http?.closeIdleConnections());
      if (this.#open.size === 0) this.#onEmpty();
    });
  }

  /** Ends the server: connections are taken for `delayMs` more, and answers may go on for `timeoutMs` after that. */
  async run(http: Server, delayMs: number, timeoutMs: number): Promise<void> {
    this.#isDraining = true;
    // Until then, a client may send its next request on a connection that it has kept.
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    this.#http = http;
    const closed = new Promise<void>((resolve) => http.close(() => resolve()));
    http.closeIdleConnections();
    await this.#empty(timeoutMs);
    for (const exchange of this.#open) exchange.abort(unavailable('the server is shutting down', 'shutting_down'));
    await this.#empty(farewellMs);
    http.closeAllConnections();
    await closed;
  }

  /** Waits until no exchange is under way, for `ms` at most. */
  async #empty(ms: number): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#onEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Server-sent events, written to Node's own response. */
import type { ServerResponse } from 'node:http';
import { ClientLeft } from './errors.js';

/** The text of one event: its data as JSON, under an event name if the API uses those. */
export function eventText(data: object, name?: string): string {
  return `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/** The last event of a stream of OpenAI's API. */
export const doneEvent = 'data: [DONE]\n\n';

/** Milliseconds between two comments that keep a silent stream open. */
const quietMs = 15_000;

/**
 * A stream of events to one client. A client that reads slowly holds the writer up; one that reads nothing for
 * `stallMs` is told to `onStall`.
 */
export class EventStream {
  readonly #outgoing: ServerResponse;
  readonly #stallMs: number;
  readonly #onStall: (reason: Error) => void;
  #quiet: NodeJS.Timeout | undefined;

  constructor(outgoing: ServerResponse, stallMs: number, onStall: (reason: Error) => void) {
    this.#outgoing = outgoing;
    this.#stallMs = stallMs;
    this.#onStall = onStall;
  }

  /** Whether the head has been sent, so that errors can only come as events. */
  get isOpen(): boolean {
    return this.#outgoing.headersSent;
  }

  /** Sends the head of the answer. */
  open(): void {
    if (this.isOpen) return;
    this.#outgoing.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    });
    this.#outgoing.flushHeaders();
    this.#quiet = setInterval(() => {
      if (!this.#outgoing.writableNeedDrain) this.#outgoing.write(': \n\n');
    }, quietMs);
  }

  /** Writes events, and waits until the client has read most of what was written before. */
  async write(text: string): Promise<void> {
    if (text === '' || this.#outgoing.destroyed) return;
    this.open();
    this.#quiet?.refresh();
    if (!this.#outgoing.write(text)) await this.#drained();
  }

  /** Writes the last events and ends the answer. */
  end(text: string): void {
    clearInterval(this.#quiet);
    if (this.#outgoing.destroyed) return;
    leaveStalled(this.#outgoing, this.#stallMs, this.#onStall);
    this.#outgoing.end(text);
  }

  #drained(): Promise<void> {
    const outgoing = this.#outgoing;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#onStall(stalled(this.#stallMs));
        outgoing.destroy();
        finish();
      }, this.#stallMs);
      const { socket } = outgoing.req;
      const finish = () => {
        clearTimeout(timer);
        outgoing.off('drain', finish);
        outgoing.off('close', finish);
        socket.off('close', finish);
        resolve();
      };
      outgoing.once('drain', finish);
      outgoing.once('close', finish);
      // An answer that waits for an earlier one of its connection has no close event of its own.
      socket.once('close', finish);
    });
  }
}

/** Gives up an answer that has ended, once its client has read nothing of the rest for `stallMs`. */
export function leaveStalled(outgoing: ServerResponse, stallMs: number, onStall: (reason: Error) => void): void {
  outgoing.setTimeout(stallMs, () => {
    onStall(stalled(stallMs));
    outgoing.destroy();
  });
  // The next answer of the connection may take longer to begin.
  outgoing.prependOnceListener('finish', () => outgoing.setTimeout(0));
}

function stalled(stallMs: number): ClientLeft {
  return new ClientLeft(`the client has read nothing for ${stallMs / 1000} seconds`);
}

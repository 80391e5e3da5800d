/** One request and its answer, from the first byte to the last. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { randomId } from '../random.js';
import { type ApiError, ClientLeft, openAIError } from './errors.js';

/** The facts of an exchange for the access log, beside those that every exchange has. */
export interface ExchangeNotes {
  model?: string;
  stream?: boolean;
  promptTokens?: number;
  cachedTokens?: number;
  completionTokens?: number;
  reasoningTokens?: number;
  queueMs?: number;
  firstTokenMs?: number;
  tokenMs?: number;
  draftsKept?: number;
  parked?: number;
  finish?: string;
  /** Fields of the body that this server does not know. */
  ignored?: readonly string[];
  error?: string;
}

/** A request while it is answered. */
export class Exchange {
  /** The request's name in the answer's header, in the log and in errors. */
  id: string;
  readonly startedAt: number = performance.now();
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** The label of the key that the client has given. Null if it gave none. */
  keyLabel: string | null = null;
  isAdmin = false;
  readonly notes: ExchangeNotes = {};
  /** Is fulfilled when the answer has been sent, or the client has left. */
  readonly closed: Promise<void>;
  /** How the API that was asked writes errors. */
  shapeError: (error: ApiError) => object = openAIError;
  /** The fields by which the request set options of the library, where their names are not alike. For errors. */
  readonly fieldNames: Record<string, string> = {};
  readonly #controller = new AbortController();

  constructor(incoming: IncomingMessage, outgoing: ServerResponse) {
    this.incoming = incoming;
    this.outgoing = outgoing;
    const given = incoming.headers['x-request-id'];
    this.id = typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomId('req_', 24);
    const { socket } = incoming;
    this.closed = new Promise((resolve) => {
      const end = () => {
        outgoing.off('close', end);
        socket.off('close', end);
        if (!outgoing.writableFinished) this.abort(new ClientLeft('the client has left'));
        resolve();
      };
      outgoing.once('close', end);
      // An answer that waits for an earlier one of its connection is not told when the connection closes.
      socket.once('close', end);
    });
  }

  /** Whom a place in the queue is for: the key that the client has given, or its address. */
  get client(): string {
    return this.keyLabel ?? this.incoming.socket.remoteAddress ?? '';
  }

  /** Is aborted when nobody wants the answer any more. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the work for this request. */
  abort(reason: Error): void {
    this.#controller.abort(reason);
  }
}

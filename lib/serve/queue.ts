/** Counts the answers that are asked for, and refuses more than can wait. */
import { ApiError } from './errors.js';

/** The part of a queue that one request holds. */
export interface Place {
  /** Notes that the engine has begun with the request. */
  start(): void;
  /** Gives the place back. */
  leave(): void;
}

/** Options of {@link RequestQueue}. */
export interface QueueOptions {
  /** Answers that may wait, beside those that can run. */
  mostWaiting: number;
  /** Answers that may run for one key; more of them wait, and hold up no other key. 0 is no limit. */
  mostPerKey: number;
  /** Answers that can run at the same time. */
  slots: () => number;
}

interface Waiter {
  key: string;
  weight: number;
  enter: () => void;
}

/** The requests of a server that wait or run. The engine has its own order; this only decides who may go to it. */
export class RequestQueue {
  readonly #options: QueueOptions;
  readonly #held = new Map<string, number>();
  #waiters: Waiter[] = [];
  /** Answers that have not begun. */
  #waiting = 0;
  /** Answers that have begun. */
  #running = 0;
  /** The mean time (ms) that answers took lately. */
  #meanMs = 1000;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /**
   * Takes a place for `weight` answers, once the key has room for them.
   *
   * @throws ApiError 429 if the queue is full. The signal's reason.
   */
  async enter(key: string, weight: number, signal: AbortSignal): Promise<Place> {
    signal.throwIfAborted();
    const { mostWaiting, slots } = this.#options;
    if (this.#waiting + this.#running + weight > slots() + mostWaiting) throw this.#full();
    this.#waiting += weight;
    try {
      await this.#turn(key, weight, signal);
    } catch (error) {
      this.#waiting -= weight;
      throw error;
    }
    return this.#place(key, weight);
  }

  #place(key: string, weight: number): Place {
    const began = performance.now();
    let state: 'waiting' | 'running' | 'over' = 'waiting';
    return {
      start: () => {
        if (state !== 'waiting') return;
        state = 'running';
        this.#waiting -= weight;
        this.#running += weight;
      },
      leave: () => {
        if (state === 'over') return;
        if (state === 'waiting') this.#waiting -= weight;
        else {
          this.#running -= weight;
          this.#meanMs += 0.1 * (performance.now() - began - this.#meanMs);
        }
        state = 'over';
        this.#hold(key, -weight);
        this.#admit();
      },
    };
  }

  #fits({ key, weight }: Waiter): boolean {
    const { mostPerKey } = this.#options;
    const held = this.#held.get(key) ?? 0;
    // A request for more answers than the limit runs alone.
    return mostPerKey === 0 || held === 0 || held + weight <= mostPerKey;
  }

  #hold(key: string, weight: number): void {
    const held = (this.#held.get(key) ?? 0) + weight;
    if (held === 0) this.#held.delete(key);
    else this.#held.set(key, held);
  }

  async #turn(key: string, weight: number, signal: AbortSignal): Promise<void> {
    const waiter: Waiter = { key, weight, enter: () => {} };
    if (this.#fits(waiter) && !this.#waiters.some((other) => other.key === key)) return this.#hold(key, weight);
    let onAbort = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        waiter.enter = resolve;
        this.#waiters.push(waiter);
        onAbort = () => {
          // A waiter that has been admitted is in the list no more, and its place is given back by its owner.
          const at = this.#waiters.indexOf(waiter);
          if (at < 0) return;
          this.#waiters.splice(at, 1);
          reject(signal.reason);
        };
        signal.addEventListener('abort', onAbort, { once: true });
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Lets those go on whose keys have room, oldest first. */
  #admit(): void {
    const blocked = new Set<string>();
    this.#waiters = this.#waiters.filter((waiter) => {
      if (blocked.has(waiter.key) || !this.#fits(waiter)) {
        blocked.add(waiter.key);
        return true;
      }
      this.#hold(waiter.key, waiter.weight);
      waiter.enter();
      return false;
    });
  }

  #full(): ApiError {
    const { mostWaiting, slots } = this.#options;
    const seconds = (this.#meanMs / 1000) * Math.max(1, this.#waiting / Math.max(1, slots()));
    return new ApiError(`the queue is full: ${this.#waiting} answers wait, the most is ${mostWaiting}`, {
      ...{ status: 429, type: 'rate_limit_error', code: 'rate_limit_exceeded' },
      retryAfter: Math.min(60, Math.max(1, Math.round(seconds))),
    });
  }
}

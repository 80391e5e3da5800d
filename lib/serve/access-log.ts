/** One line for each request, when its answer has ended. Never what was said. */
import { pino } from 'pino';
import { ClientLeft } from './errors.js';
import type { Exchange } from './exchange.js';

/** Where the lines of a log go. */
export type LogForm = 'json' | 'text' | 'off';

/** The log of a server, on standard error. */
export class AccessLog {
  readonly #form: LogForm;
  readonly #logger: ReturnType<typeof pino>;

  constructor(form: LogForm) {
    this.#form = form;
    // A destination that writes at once loses no lines when the process ends.
    this.#logger = pino({ base: null, enabled: form === 'json' }, pino.destination({ dest: 2, sync: true }));
  }

  /** Logs an exchange that has ended. */
  write({ id, keyLabel, incoming, outgoing, signal, startedAt, notes }: Exchange): void {
    if (this.#form === 'off') return;
    const { method = '', url = '' } = incoming;
    const path = url.split('?', 1)[0]!;
    const ms = Math.round(performance.now() - startedAt);
    const hasLeft = signal.reason instanceof ClientLeft;
    const aborted = hasLeft ? signal.reason.message : undefined;
    const status = hasLeft && !outgoing.headersSent ? 499 : outgoing.statusCode;
    if (this.#form === 'json') {
      this.#logger.info({ id, key: keyLabel ?? undefined, method, path, status, ms, aborted, ...rounded(notes) });
      return;
    }
    const counts =
      notes.completionTokens === undefined
        ? ''
        : `, ${notes.promptTokens} tokens in (${notes.cachedTokens} cached), ${notes.completionTokens} out, ${notes.finish}`;
    const more = [notes.error, aborted, notes.ignored && `ignored: ${notes.ignored.join(' ')}`].filter(
      (text) => text !== undefined,
    );
    const line = `${new Date().toISOString()} ${id} ${method} ${path} ${status} ${ms} ms${counts}${more.map((text) => `, ${text}`).join('')}`;
    process.stderr.write(`${withoutControls(line)}\n`);
  }

  /** Logs what was said, for servers that were told to. */
  say(id: string, kind: 'prompts' | 'answers', said: unknown): void {
    if (this.#form === 'json') this.#logger.info({ id, [kind]: said });
    if (this.#form === 'text') process.stderr.write(`${id} ${kind}: ${JSON.stringify(said)}\n`);
  }

  /** Logs a message about the server itself. */
  note(message: string, cause?: unknown): void {
    if (this.#form === 'off') return;
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : undefined;
    if (this.#form === 'json') this.#logger.info({ message, reason });
    else process.stderr.write(`kexa: ${message}${reason === undefined ? '' : `\n${reason}`}\n`);
  }
}

/** A text of one line. Names that a client has chosen could otherwise forge lines, or command a terminal. */
export function withoutControls(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (sign) => `\\u{${sign.codePointAt(0)!.toString(16)}}`);
}

function rounded(notes: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(notes).map(([name, value]) => [
      name,
      typeof value === 'number' ? Math.round(value * 10) / 10 : value,
    ]),
  );
}

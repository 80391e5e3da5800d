/** The exit codes of the command, and the errors that decide them. */
import { variable } from '../environment.js';
import { KexaError } from '../errors.js';

export const exitCodes = { ok: 0, failure: 1, usage: 2, interrupted: 130, terminated: 143 } as const;

/** The command was called wrongly: exit code 2, and a pointer to the help. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A signal stopped the work: the signal's exit code, and no message, because whoever sent the signal knows. */
export class Interruption extends Error {
  override readonly name = 'Interruption';

  constructor(readonly exitCode: number) {
    super('interrupted');
  }
}

/** The report of an error for stderr, without a final newline. `KEXA_DEBUG` adds the stack. */
export function errorText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const isExpected = error instanceof KexaError || error instanceof UsageError;
  // A fault of kexa's own is printed with its kind, because a bare "x is not a function" tells little.
  const text = `kexa: ${isExpected || !(error instanceof Error) ? message : `${error.name}: ${message}`}`;
  if (!variable('KEXA_DEBUG')) return text;
  const stacks: string[] = [];
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    stacks.push(cause.stack ?? cause.message);
  return stacks.length === 0 ? text : `kexa: ${stacks.join('\ncaused by: ')}`;
}

/** Makes a command's action of a function that returns the exit code. */
export function exitWith<Arguments extends unknown[]>(
  run: (...values: Arguments) => Promise<number>,
): (...values: Arguments) => Promise<void> {
  return async (...values) => {
    process.exitCode = await run(...values);
  };
}

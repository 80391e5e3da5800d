/** Writes to standard output and error. stdout holds the answer and nothing else. */
import { once } from 'node:events';
import { variable } from '../environment.js';
import { printable, printableLine } from '../printable.js';
import type { KexaWarning } from '../warnings.js';
import { exitCodes } from './exit.js';

/** Ends the program quietly if the reader of stdout leaves early (`| head`). A full disk stays an error. */
export function endWithOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    writeNote(`kexa: standard output: ${error.message}\n`);
    process.exit(exitCodes.failure);
  });
  // A closed stderr has no reader to tell of it.
  process.stderr.on('error', () => {});
}

/** Writes to stdout, at the speed of its reader. */
export async function writeAnswer(text: string): Promise<void> {
  if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
}

/** Writes a value to stdout as one line of JSON. */
export async function writeJson(value: unknown): Promise<void> {
  await writeAnswer(`${JSON.stringify(value)}\n`);
}

/** Writes to stderr: whatever is not the answer. Control characters out of files are escaped. */
export function writeNote(text: string): void {
  process.stderr.write(printable(text));
}

/** Writes a warning to stderr. */
export function writeWarning({ message }: KexaWarning): void {
  writeNote(`kexa: warning: ${message}\n`);
}

/** Writes dimmed text to stderr; plain where stderr is no terminal, or `NO_COLOR` is set. */
export function writeDimmed(text: string): void {
  process.stderr.write(isColored(process.stderr) ? `\x1b[2m${text}\x1b[22m` : text);
}

/** Whether escape sequences may be written to a stream. */
export function isColored(stream: { isTTY?: boolean }): boolean {
  return stream.isTTY === true && variable('NO_COLOR') === undefined && process.env.TERM !== 'dumb';
}

/**
 * Writes rows of cells as aligned columns, with control characters out of files escaped. Columns in `right` are aligned
 * to the right. The last column is never padded.
 */
export function table(cells: readonly (readonly string[])[], right: readonly number[] = []): string {
  const rows = cells.map((row) => row.map(printableLine));
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  ');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}

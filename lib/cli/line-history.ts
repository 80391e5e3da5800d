/** The lines of earlier chats, in a file that several chats may write at a time. */
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stateFolder } from '../environment.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { writeNote } from './output.js';

/** The number of lines that are offered again. The file is cut to this number once it has twice as many. */
export const historyLength = 1000;

/** Where lines are kept if nothing else is said: in the user's folder for state. Null: the user has no such folder. */
export function defaultHistoryFile(env?: NodeJS.ProcessEnv, platform?: NodeJS.Platform): string | null {
  const folder = stateFolder(env, platform);
  return folder === null ? null : join(folder, 'history');
}

/** Reads and writes the lines of a file. A failed write is reported once, and is no error. */
export class LineHistory {
  readonly #file: string;
  #last: string | undefined;
  #hasFailed = false;

  constructor(file: string) {
    this.#file = file;
  }

  /** The lines, the latest first. */
  async read(): Promise<string[]> {
    let lines: string[];
    try {
      lines = readFileSync(this.#file, 'utf8')
        .split('\n')
        .filter((line) => line !== '');
    } catch {
      return [];
    }
    const kept = lines.slice(-historyLength);
    this.#last = kept.at(-1);
    if (lines.length > 2 * historyLength)
      await writeFileAtomic(this.#file, `${kept.join('\n')}\n`, { mode: 0o600 }).catch((error) => this.#tell(error));
    return kept.reverse();
  }

  /** Adds a line at the end, in one write, so that chats side by side lose none of each other's. */
  add(line: string): void {
    if (line.trim() === '' || line === this.#last) return;
    this.#last = line;
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      appendFileSync(this.#file, `${line}\n`, { mode: 0o600 });
    } catch (error) {
      this.#tell(error as Error);
    }
  }

  #tell({ message }: Error): void {
    if (!this.#hasFailed) writeNote(`kexa: the lines of this chat are not kept: ${message}\n`);
    this.#hasFailed = true;
  }
}

/** Makes a start cold: one file's pages leave the system's cache. */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';

/** Drops a file from the page cache. Returns null, or the reason why it could not. */
export async function dropFromCache(file: string): Promise<string | null> {
  const run = promisify(execFile);
  try {
    // With no blocks to copy, dd tells the system that the whole file is not needed.
    await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
  } catch (cause) {
    return `dd iflag=nocache: ${(cause as Error).message.split('\n')[0]}`;
  }
  try {
    const { stdout } = await run('fincore', ['--bytes', '--noheadings', '--output', 'RES', file]);
    const { size } = await stat(file);
    const left = Number(stdout.trim()) / size;
    return left > 0.01 ? `${Math.round(left * 100)} % of the file stayed in the page cache` : null;
  } catch (cause) {
    return `whether the file left the page cache is not known: fincore: ${(cause as Error).message.split('\n')[0]}`;
  }
}

/** The digests by which a hub lists files. */
import { createHash } from 'node:crypto';
import { openRegularFile } from '../files/regular-file.js';
import type { HubFile } from './listing.js';

/**
 * Whether the file at `path` has the size and digest that the hub lists. It is read from the disk, so the answer is about
 * the bytes that are there.
 */
export async function isFile(
  path: string,
  { size, digest }: HubFile,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const opened = await openRegularFile(path);
  try {
    if (opened.size !== size) return false;
    const hash = createHash(digest.kind === 'git' ? 'sha1' : 'sha256');
    if (digest.kind === 'git') hash.update(`blob ${size}\0`);
    const bytes = Buffer.allocUnsafe(2 ** 20);
    for (let position = 0; position < size; ) {
      signal?.throwIfAborted();
      const { bytesRead } = await opened.file.read(bytes, 0, bytes.length, position);
      if (bytesRead === 0) return false;
      hash.update(bytes.subarray(0, bytesRead));
      position += bytesRead;
    }
    return hash.digest('hex') === digest.hex;
  } finally {
    await opened.file.close();
  }
}

/** Tells models apart by their files. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { openModelFolder } from './model-folder.js';
import { openRegularFile, readExactly } from './regular-file.js';

/** The pieces of each file that are read, evenly spread, and their size (bytes). */
const pieces = 16;
const pieceBytes = 64 * 1024;

/**
 * A SHA-256 over the model's description, and over the name, size and {@link pieces} pieces of each file of weights. It
 * tells other weights from these nearly always, and a file's whole content never: 240 GB would take minutes to read.
 *
 * @throws KexaError as `openModelFolder`
 */
export async function modelFingerprint(path: string): Promise<string> {
  const { description } = await openModelFolder(path);
  const { files, ...shape } = description;
  const hash = createHash('sha256').update(JSON.stringify(shape));
  for (const name of files) {
    const { file, size } = await openRegularFile(name);
    try {
      hash.update(`${basename(name)} ${size}\n`);
      for (let i = 0; i < pieces; i++) {
        const bytes = Buffer.alloc(Math.min(pieceBytes, size));
        const start = Math.floor(((size - bytes.length) * i) / (pieces - 1));
        await readExactly(name, file, start, bytes);
        hash.update(bytes);
      }
    } finally {
      await file.close();
    }
  }
  return hash.digest('hex');
}

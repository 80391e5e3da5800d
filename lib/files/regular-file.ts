/** Opens regular files only: reading a named pipe or a device would never end. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { KexaError } from '../errors.js';

/** A file that is open, and how many bytes it had then. */
export interface OpenedFile {
  file: FileHandle;
  size: number;
}

/**
 * Opens a regular file, or a link to one, for reading. The caller closes it.
 *
 * @throws KexaError KEXA_BAD_FILE for a folder, a named pipe, a socket or a device; what `open` throws.
 */
export async function openRegularFile(path: string): Promise<OpenedFile> {
  // Without O_NONBLOCK the call waits until somebody opens a named pipe's other end. Windows has neither.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const found = await file.stat();
    if (!found.isFile()) {
      const kind = found.isDirectory() ? 'a folder' : 'a pipe or a device';
      throw new KexaError('KEXA_BAD_FILE', `${path}: not a regular file, but ${kind}`);
    }
    return { file, size: found.size };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Fills `into` from byte `position` on.
 *
 * @throws KexaError KEXA_BAD_FILE if the file ends before that.
 */
export async function readExactly(path: string, file: FileHandle, position: number, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) {
      const wanted = position + into.length;
      throw new KexaError('KEXA_BAD_FILE', `${path}: wanted ${wanted} bytes, found ${position + done}: cut short`);
    }
    done += bytesRead;
  }
}

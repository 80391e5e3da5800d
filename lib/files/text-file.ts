/** Reading a file as text. */
import { readFile } from 'node:fs/promises';
import { KexaError } from '../errors.js';
import { fileError } from './json-file.js';

/**
 * The file's text, as UTF-8. `advice` follows "no such file" in the error about a file that is not there.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_BAD_FILE
 */
export async function readTextFile(path: string, advice: string = ''): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const error = fileError(path, cause);
    throw error.code === 'KEXA_NOT_FOUND' ? new KexaError(error.code, `${error.message}${advice}`, { cause }) : error;
  }
}

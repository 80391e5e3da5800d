/** Reading JSON from disk and writing it there, with errors that name the file. */
import { KexaError } from '../errors.js';
import { writeFileAtomic } from './atomic-file.js';
import { openRegularFile, readExactly } from './regular-file.js';

export type JsonObject = Readonly<Record<string, unknown>>;

/** The largest metadata file that is read. The largest real one, a tokenizer.json of 153,600 tokens, has 20 MB. */
const largestJsonBytes = 64 * 1024 * 1024;

/**
 * The limit for config.json and similar files. Real ones have some kilobytes; parsing this much takes some tens of
 * milliseconds.
 */
export const largestConfigBytes: number = 4 * 1024 * 1024;

/**
 * Reads and parses a JSON file of at most `most` bytes.
 *
 * @throws KexaError KEXA_NOT_FOUND when it is not there, KEXA_BAD_FILE when it cannot be read or is not JSON.
 */
export async function readJsonFile(path: string, most: number = largestJsonBytes): Promise<unknown> {
  return parseJson(path, await readBytes(path, most));
}

/**
 * All bytes of a regular file that has at most `most` of them.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_BAD_FILE
 */
export async function readBytes(path: string, most: number): Promise<Uint8Array> {
  try {
    const { file, size } = await openRegularFile(path);
    try {
      if (size > most)
        throw new KexaError('KEXA_BAD_FILE', `${path}: ${size} bytes, more than the ${most} it may have`);
      const bytes = Buffer.alloc(size);
      await readExactly(path, file, 0, bytes);
      return bytes;
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError(path, cause);
  }
}

/** Like {@link readJsonFile}, but the top level must be an object. */
export async function readJsonObject(path: string, most?: number): Promise<JsonObject> {
  const value = await readJsonFile(path, most);
  if (!isJsonObject(value)) {
    throw new KexaError('KEXA_BAD_FILE', `${path}: wanted a JSON object, found ${kindOf(value)}`);
  }
  return value;
}

/** Like {@link readJsonObject}, but null when there is no such file. */
export async function readOptionalJsonObject(path: string, most?: number): Promise<JsonObject | null> {
  try {
    return await readJsonObject(path, most);
  } catch (error) {
    if (error instanceof KexaError && error.code === 'KEXA_NOT_FOUND') return null;
    throw error;
  }
}

/**
 * Writes a value as JSON, in a folder that is made if need be; as {@link writeFileAtomic} does.
 *
 * @throws KexaError KEXA_WRITE_FAILED
 */
export async function writeJsonFile(path: string, value: unknown, indent = 0): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value, null, indent)}\n`, { makesFolder: true });
}

/** Parses UTF-8 JSON, with or without the byte order mark that editors on Windows write; `where` names it in errors. */
export function parseJson(where: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new KexaError('KEXA_BAD_FILE', `${where}: not valid JSON (${messageOf(cause)})`, { cause });
  }
}

/** Turns a failed file operation into the error to throw. A KexaError stays as it is. */
export function fileError(path: string, cause: unknown): KexaError {
  if (cause instanceof KexaError) return cause;
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new KexaError('KEXA_NOT_FOUND', `${path}: no such file`, { cause });
  }
  return new KexaError('KEXA_BAD_FILE', `${path}: cannot be read (${messageOf(cause)})`, { cause });
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The kind of a JSON value, for error messages: `a list`, `a string`, `null`. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** A JSON value for an error message, cut to a line's length. */
export function shown(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? 'nothing';
  } catch {
    // JSON.parse takes any depth of nesting, JSON.stringify overflows the stack.
    return kindOf(value);
  }
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** The rows of a batch: one request a line, in the form of OpenAI's batches or a short one of kexa's. */
import { createHash } from 'node:crypto';
import { KexaError } from '../errors.js';
import { fileError, isJsonObject, type JsonObject, kindOf } from '../files/json-file.js';
import { openRegularFile, readExactly } from '../files/regular-file.js';
import { type Line, LineCutter } from './lines.js';

/** A request of a batch. */
export interface BatchRow {
  /** The number of the row, from 0; empty lines do not count. */
  index: number;
  customId: string;
  /** The path of the API that the request is for. */
  url: string;
  body: JsonObject;
}

/** Where a row lies in the input file (bytes), and the SHA-256 of those bytes. */
export interface RowPlace {
  index: number;
  offset: number;
  length: number;
  sha: string;
}

/** A row as it was read: a request, or the reason why it is none. */
export type ReadRow =
  | { place: RowPlace; row: BatchRow; problem: null }
  | { place: RowPlace; row: null; problem: string };

export const chatUrl = '/v1/chat/completions';
export const completionUrl = '/v1/completions';
/** The longest line that is read (bytes). */
const longestLine = 64 * 2 ** 20;

/**
 * Reads all rows of a file in order. Calls `onBytes` with all bytes of the file, so that it can be hashed on the way.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_BAD_FILE if the file cannot be read
 */
export async function* readRows(path: string, onBytes: (bytes: Uint8Array) => void): AsyncGenerator<ReadRow, void> {
  const lines = new LineCutter();
  let index = 0;
  const ids = new Map<string, number>();
  const read = ({ bytes, offset }: Line): ReadRow | null => {
    const place = { index, offset, length: bytes.length, sha: createHash('sha256').update(bytes).digest('hex') };
    const found = parseRow(bytes, place);
    if (found === null) return null;
    index++;
    const { row } = found;
    if (row === null) return found;
    const first = ids.get(row.customId);
    ids.set(row.customId, first ?? row.index);
    if (first === undefined) return found;
    return { place, row: null, problem: `custom_id: ${JSON.stringify(row.customId)} is that of row ${first + 1}, too` };
  };
  try {
    const { file } = await openRegularFile(path);
    for await (const chunk of file.createReadStream({ highWaterMark: 2 ** 20 })) {
      onBytes(chunk as Buffer);
      for (const line of lines.push(chunk as Buffer)) {
        const found = read(line);
        if (found !== null) yield found;
      }
      if (lines.rest.length > longestLine)
        throw new KexaError(
          'KEXA_BAD_FILE',
          `${path}: row ${index + 1}: wanted a line of at most ${longestLine} bytes`,
        );
    }
  } catch (cause) {
    throw fileError(path, cause);
  }
  const last = read({ bytes: lines.rest, offset: lines.offset });
  if (last !== null) yield last;
}

/** Reads one row again. */
export async function readRow(path: string, place: RowPlace): Promise<BatchRow> {
  const { file } = await openRegularFile(path);
  try {
    const line = Buffer.alloc(place.length);
    await readExactly(path, file, place.offset, line);
    if (createHash('sha256').update(line).digest('hex') !== place.sha)
      throw new KexaError('KEXA_BAD_FILE', `${path}: row ${place.index + 1}: the file was changed meanwhile`);
    return parseRow(line, place)!.row!;
  } finally {
    await file.close();
  }
}

/** Reads a line. Null if it is empty. */
function parseRow(line: Buffer, place: RowPlace): ReadRow | null {
  const problem = (text: string): ReadRow => ({ place, row: null, problem: text });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(line);
  } catch {
    return problem('wanted UTF-8, found other bytes');
  }
  if (text.trim() === '') return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return problem(`not valid JSON (${(error as Error).message})`);
  }
  if (!isJsonObject(value)) return problem(`wanted a JSON object, found ${kindOf(value)}`);
  const row = 'custom_id' in value || 'body' in value ? openAIRow(value) : shortRow(value);
  if (typeof row === 'string') return problem(row);
  return { place, row: { index: place.index, ...row }, problem: null };
}

/** A row of OpenAI's: `{ custom_id, method, url, body }`. A text tells why it is none. */
function openAIRow({
  custom_id: id,
  method = 'POST',
  url = chatUrl,
  body,
}: JsonObject): Omit<BatchRow, 'index'> | string {
  if (typeof id !== 'string' || id === '') return `custom_id: wanted a text, found ${kindOf(id)}`;
  if (method !== 'POST') return `method: wanted POST, found ${JSON.stringify(method)}`;
  if (typeof url !== 'string' || !/^\/v1\/[\w/-]+$/.test(url))
    return `url: wanted a path such as ${chatUrl}, found ${JSON.stringify(url)}`;
  if (!isJsonObject(body)) return `body: wanted an object, found ${kindOf(body)}`;
  return { customId: id, url, body };
}

/** A short row: `{ id, prompt }` or `{ id, messages }`, and other fields of a chat request. */
function shortRow({ id, prompt, ...body }: JsonObject): Omit<BatchRow, 'index'> | string {
  if (typeof id !== 'string' || id === '') return 'wanted custom_id, url and body, or id and prompt';
  if (prompt === undefined) return { customId: id, url: chatUrl, body };
  if (typeof prompt !== 'string') return `prompt: wanted a text, found ${kindOf(prompt)}`;
  if ('messages' in body) return 'prompt: wanted either prompt or messages';
  return { customId: id, url: chatUrl, body: { ...body, messages: [{ role: 'user', content: prompt }] } };
}

/**
 * The seed of a row that gives none: a number of 48 bits that depends on the row's name alone. A row that is answered
 * twice has the same answer.
 */
export function seedOf(customId: string): number {
  return createHash('sha256').update(customId).digest().readUIntBE(0, 6);
}

/** A name for an answer, as random ones look, that depends on the row's name alone. */
export function stableId(prefix: string, customId: string, length: number, what = ''): string {
  return prefix + createHash('sha256').update(`${prefix}\0${customId}\0${what}`).digest('hex').slice(0, length);
}

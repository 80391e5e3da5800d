/**
 * Reads a JSON object entry by entry in one pass. It builds no tree of the whole, and reports keys that are there
 * twice.
 */
import { KexaError } from '../errors.js';
import { shown } from './json-file.js';

/** Bytes of JSON that are looked at before the event loop gets its turn. */
const bytesATurn = 2 ** 19;
/** Bytes that one entry may have. The name of a tensor, its type, shape and place take some hundreds. */
const longestEntry = 2 ** 22;

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const backslash = 0x5c;
const open = { brace: 0x7b, bracket: 0x5b };
const close = { brace: 0x7d, bracket: 0x5d };

/**
 * Gives `onEntry` each key and value of the object that `bytes` are, in their order.
 *
 * @throws KexaError KEXA_BAD_FILE, with `where`, for what is no JSON object in UTF-8, for a key that is there twice,
 *   and for an entry of more than 4 MiB.
 */
export async function readJsonEntries(
  where: string,
  bytes: Buffer,
  onEntry: (key: string, value: unknown) => void,
): Promise<void> {
  const bad = (message: string) => new KexaError('KEXA_BAD_FILE', `${where}: ${message}`);
  const seen = new Set<string>();
  let nextTurn = bytesATurn;
  let at = afterSpace(bytes, 0);
  if (bytes[at] !== open.brace) throw bad(`not a JSON object: wanted { at byte ${at}`);
  at = afterSpace(bytes, at + 1);
  if (bytes[at] === close.brace) return checkEnd(bytes, at + 1, bad);
  for (;;) {
    const begin = at;
    if (bytes[at] !== quote) throw bad(`not valid JSON: wanted a key at byte ${at}`);
    const keyEnd = afterString(bytes, at);
    const colonAt = afterSpace(bytes, keyEnd);
    if (bytes[colonAt] !== colon) throw bad(`not valid JSON: wanted : at byte ${colonAt}`);
    const end = afterValue(bytes, afterSpace(bytes, colonAt + 1));
    if (end - begin > longestEntry) throw bad(`the entry at byte ${begin} has more than ${longestEntry} bytes`);
    // Parsed as an object of its own, so that what is in it is checked, and "\u0061" and "a" are the same key.
    const entry = parse(bytes.subarray(begin, end), bad);
    const key = Object.keys(entry)[0]!;
    if (seen.has(key)) throw bad(`names ${shown(key)} twice`);
    seen.add(key);
    onEntry(key, entry[key]);
    at = afterSpace(bytes, end);
    if (bytes[at] === close.brace) return checkEnd(bytes, at + 1, bad);
    if (bytes[at] !== comma) throw bad(`not valid JSON: wanted , or } at byte ${at}`);
    at = afterSpace(bytes, at + 1);
    if (at < nextTurn) continue;
    nextTurn = at + bytesATurn;
    await new Promise((turn) => setImmediate(turn));
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parse(bytes: Buffer, bad: (message: string) => KexaError): Record<string, unknown> {
  try {
    return JSON.parse(`{${decoder.decode(bytes)}}`);
  } catch (cause) {
    throw bad(`not valid JSON (${(cause as Error).message})`);
  }
}

function checkEnd(bytes: Buffer, at: number, bad: (message: string) => KexaError): void {
  const end = afterSpace(bytes, at);
  if (end < bytes.length) throw bad(`not valid JSON: ${bytes.length - end} bytes behind the last }`);
}

function afterSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++;
  return at;
}

/** One past the closing quote of the string that opens at `from`. Without a closing quote, the end of the text. */
function afterString(bytes: Buffer, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    if (bytes[at] === backslash) at++;
    else if (bytes[at] === quote) return at + 1;
  }
  return bytes.length;
}

/** One past the value at `from`. Brackets are counted and not matched: whoever parses the value does that. */
function afterValue(bytes: Buffer, from: number): number {
  let depth = 0;
  for (let at = from; at < bytes.length; ) {
    const byte = bytes[at];
    if (byte === quote) {
      at = afterString(bytes, at);
      if (depth === 0) return at;
      continue;
    }
    if (depth === 0 && (byte === comma || byte === close.brace)) return at;
    if (byte === open.brace || byte === open.bracket) depth++;
    else if (byte === close.brace || byte === close.bracket) depth--;
    at++;
    if (depth === 0 && (byte === close.brace || byte === close.bracket)) return at;
  }
  return bytes.length;
}

/** Reads the body of a request, within limits. */
import type { IncomingMessage } from 'node:http';
import { ApiError, badRequest, ClientLeft } from './errors.js';

/** Limits that no option moves. */
export const serveLimits = {
  /** Objects and arrays of a body that lie within each other. */
  depth: 64,
  messages: 4096,
  tools: 128,
  stops: 16,
  choices: 8,
  /** Answers to all prompts of a request for completions. */
  completions: 256,
  /** Milliseconds in which a request's head must have come. */
  headMs: 10_000,
  /** Milliseconds in which a request must have come, body included. */
  requestMs: 60_000,
  /** Milliseconds between two looks for requests that come too slowly. */
  checkMs: 2000,
  /** Milliseconds that a connection may be idle between two requests. */
  idleMs: 75_000,
  headBytes: 16_384,
  /** Characters of the conversations that `storeResponses` keeps, all together: half a gigabyte at most. */
  storedCharacters: 268_435_456,
} as const;

/** Reads a body of JSON, an object. @throws ApiError 400 or 413 */
export async function readJsonBody(incoming: IncomingMessage, mostBytes: number): Promise<Record<string, unknown>> {
  const bytes = await readBody(incoming, mostBytes);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw badRequest(null, 'body: wanted JSON in UTF-8, found bytes that are no UTF-8', 'invalid_json');
  }
  checkDepth(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badRequest(null, `body: wanted JSON: ${(error as Error).message}`, 'invalid_json');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw badRequest(null, 'body: wanted a JSON object', 'invalid_json');
}

async function readBody(incoming: IncomingMessage, mostBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  if (Number(incoming.headers['content-length']) > mostBytes) throw tooLarge(mostBytes);
  try {
    // A request that is destroyed takes its connection along, on which the refusal is to be sent.
    for await (const part of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > mostBytes) throw tooLarge(mostBytes);
      parts.push(part);
    }
  } catch (error) {
    throw error instanceof ApiError ? error : new ClientLeft('the client has left before its request was whole');
  }
  return Buffer.concat(parts);
}

function tooLarge(mostBytes: number): ApiError {
  return new ApiError(`body: wanted at most ${mostBytes} bytes, found more`, {
    ...{ status: 413, type: 'invalid_request_error', code: 'body_too_large' },
  });
}

/** Refuses JSON whose parts lie too deep within each other, before anything walks it. */
function checkDepth(text: string): void {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const sign = text.charCodeAt(i);
    if (sign === 0x22) i = stringEnd(text, i);
    else if (sign === 0x5b || sign === 0x7b) depth++;
    else if (sign === 0x5d || sign === 0x7d) depth--;
    if (depth > serveLimits.depth)
      throw badRequest(
        null,
        `body: wanted at most ${serveLimits.depth} objects and arrays within each other, found more`,
        'invalid_json',
      );
  }
}

/** The index of the quote that ends the string which begins at `start`, or the text's end. */
function stringEnd(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const sign = text.charCodeAt(i);
    if (sign === 0x5c) i++;
    else if (sign === 0x22) return i;
  }
  return text.length;
}

/** Reads a prompt from an option, a file or standard input. */
import { createReadStream, fstatSync } from 'node:fs';
import { KexaError } from '../errors.js';
import { UsageError } from './exit.js';
import { writeNote } from './output.js';

export interface PromptOptions {
  /** The text itself; `-` is standard input. */
  prompt?: string;
  /** A file's name; `-` is standard input. */
  file?: string;
}

/**
 * The longest text that is read (bytes). It is more than any context takes, and ends the reading of an endless file.
 */
const longestText = 2 ** 28;

/**
 * The prompt's text. Without `-p` and `-f` it is read from a pipe. One newline at the very end of a file or of standard
 * input is left out, because editors and `echo` put it there.
 *
 * @throws UsageError when there is none
 */
export async function readPrompt({ prompt, file }: PromptOptions): Promise<string> {
  if (prompt !== undefined && file !== undefined) throw new UsageError('give either -p, --prompt or -f, --file');
  const isText = prompt !== undefined && prompt !== '-';
  if (isText || (file !== undefined && file !== '-')) noteUnreadInput();
  if (isText) return prompt;
  if (file !== undefined && file !== '-') return await readText(file);
  const isAsked = prompt === '-' || file === '-';
  if (!isAsked && process.stdin.isTTY) {
    throw new UsageError('no prompt: give one with -p TEXT or -f FILE, or pipe it in');
  }
  const text = await readStandardInput();
  if (!isAsked && text === '') throw new UsageError('no prompt: standard input is empty, and there is no -p or -f');
  return text;
}

/**
 * Tells the user that a file on standard input is not read. It is silent about a pipe, because it cannot know whether
 * anything will come, and programs that start the command often leave a pipe open.
 */
function noteUnreadInput(): void {
  try {
    const found = fstatSync(0);
    if (found.isFile() && found.size > 0)
      writeNote('kexa: standard input is not read, since -p or -f gives the prompt; without them it is\n');
  } catch {
    // There is no standard input.
  }
}

/** All of standard input, without one final newline. */
export async function readStandardInput(): Promise<string> {
  return toText('standard input', await readBytes('standard input', process.stdin));
}

async function readText(file: string): Promise<string> {
  const bytes = await readBytes(file, createReadStream(file, { highWaterMark: 2 ** 20 })).catch((cause: unknown) => {
    if (cause instanceof KexaError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const isMissing = code === 'ENOENT';
    const reason = isMissing ? 'no such file' : code === 'EISDIR' ? 'is a folder' : message;
    throw new KexaError(isMissing ? 'KEXA_NOT_FOUND' : 'KEXA_BAD_FILE', `${file}: ${reason}`, { cause });
  });
  return toText(file, bytes);
}

async function readBytes(name: string, stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > longestText)
      throw new KexaError(
        'KEXA_CONTEXT_FULL',
        `${name}: wanted a text of at most ${longestText / 2 ** 20} MiB, found a longer one`,
      );
  }
  return Buffer.concat(chunks);
}

function toText(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch (cause) {
    throw new KexaError('KEXA_BAD_FILE', `${name}: wanted UTF-8 text, found other bytes`, { cause });
  }
}

/** Parses token ids: numbers with spaces, commas or newlines between them, and perhaps brackets around them. */
export function parseIds(text: string): number[] {
  const words = text
    .trim()
    .replace(/^\[|\]$/g, '')
    .split(/[\s,]+/)
    .filter((word) => word !== '');
  return words.map((word) => {
    const id = Number(word);
    if (/^\d+$/.test(word) && id <= 0xffffffff) return id;
    throw new UsageError(`wanted token ids, numbers parted by spaces or commas, found ${JSON.stringify(word)}`);
  });
}

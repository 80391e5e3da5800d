/** Which tokens end an answer, where config.json, generation_config.json and a GGUF file's ids do not say it all. */
import { join } from 'node:path';
import { isIntegerIn } from './config-fields.js';
import { turnEnds } from './family/families.js';
import type { GgufFile } from './gguf/gguf.js';
import { GgufStrings } from './gguf/gguf-values.js';
import { isJsonObject, largestConfigBytes, readBytes, readOptionalJsonObject } from './json-file.js';

const largestTokenizer = 2 ** 26;

/** Bytes around a token's name in which its entry in tokenizer.json lies. */
const longestEntry = 512;

/**
 * Further end tokens of a folder, beside the `known` ones: the one that tokenizer_config.json names and, where nobody
 * names any, the one that ends a turn. Files that are not there or damaged name none: whoever reads them in full says
 * so.
 */
export async function endsOfFolder(folder: string, known: readonly number[], vocabSize: number): Promise<number[]> {
  const config = await readOptionalJsonObject(join(folder, 'tokenizer_config.json'), largestConfigBytes).catch(
    () => null,
  );
  const eos = config?.eos_token;
  const named = isJsonObject(eos) ? eos.content : eos;
  const wanted = [...(typeof named === 'string' ? [named] : []), ...(known.length === 0 ? turnEnds : [])];
  if (wanted.length === 0) return [];
  const bytes = await readBytes(join(folder, 'tokenizer.json'), largestTokenizer).catch(() => new Uint8Array());
  const tokenizer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const content of wanted) {
    const id = idInTokenizer(tokenizer, content);
    if (isIntegerIn(id, 0, vocabSize - 1)) return [id];
  }
  return [];
}

/** The end of a turn in a GGUF file that names no end token. */
export function endsOfGguf({ metadata }: GgufFile, vocabSize: number): number[] {
  const tokens = metadata.get('tokenizer.ggml.tokens');
  if (!(tokens instanceof GgufStrings)) return [];
  for (const content of turnEnds) {
    const wanted = Buffer.from(content);
    for (let id = 0; id < Math.min(tokens.length, vocabSize); id++) {
      if (tokens.offsets[id + 1]! - tokens.offsets[id]! === wanted.length && wanted.equals(tokens.bytes(id)))
        return [id];
    }
  }
  return [];
}

/**
 * The id of an added token in tokenizer.json, found by its name's bytes: parsing all of a large vocabulary for it would
 * hold the event loop for half a second.
 */
function idInTokenizer(json: Buffer, content: string): unknown {
  const name = Buffer.from(JSON.stringify(content));
  for (let at = json.indexOf(name); at >= 0; at = json.indexOf(name, at + name.length)) {
    const open = json.lastIndexOf('{', at);
    const close = json.indexOf('}', at + name.length);
    if (open < at - longestEntry || open < 0 || close < 0 || close > at + longestEntry) continue;
    try {
      const entry: unknown = JSON.parse(json.toString('utf8', open, close + 1));
      if (isJsonObject(entry) && entry.content === content) return entry.id;
    } catch {
      // Not an entry of its own: the name stands in another text.
    }
  }
  return undefined;
}

import { KexaError } from '../errors.js';

/** What a token table reads names from; the Rust library's tokenizer is one. */
export interface TokenNames {
  idToToken(id: number): string | null;
}

/**
 * The bytes each token stands for, looked up once a token.
 *
 * The rule is the Rust library's ByteLevel decoder's: a token whose characters all belong to the byte alphabet
 * stands for those bytes, any other (an added token holding a space, say) for its own UTF-8 bytes.
 */
export class TokenBytes {
  readonly #names: TokenNames;
  readonly #size: number;
  readonly #table: (Uint8Array | undefined)[] = [];

  /** `size` only goes into the message about an unknown id. */
  constructor(names: TokenNames, size: number) {
    this.#names = names;
    this.#size = size;
  }

  /** Throws KEXA_INVALID_ARGUMENT for an id no token has. The caller must not write to the result. */
  of(id: number): Uint8Array {
    const known = this.#table[id];
    if (known) return known;
    const token = isTokenId(id) ? this.#names.idToToken(id) : null;
    if (token === null)
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `token id ${id}: no token has it; the vocabulary holds ${this.#size} tokens`,
      );
    const bytes = tokenToBytes(token);
    this.#table[id] = bytes;
    return bytes;
  }
}

/** Whether a value can be passed to the library as an id; it throws its own kind of error at others. */
export function isTokenId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) <= 0xffffffff;
}

/**
 * Refuses tokenizers whose text is not the plain concatenation of their tokens' bytes: streaming and
 * {@link TokenBytes} rest on that. `decoder` is that field of tokenizer.json.
 */
export function requireByteLevelDecoder(decoder: unknown, file: string): void {
  const steps = decoderSteps(decoder);
  // Fuse joins the strings of earlier steps; after ByteLevel there is only one.
  if (steps[0] === 'ByteLevel' && steps.slice(1).every((step) => step === 'Fuse')) return;
  throw new KexaError(
    'KEXA_UNSUPPORTED',
    `${file}: wanted the decoder ByteLevel, found ${steps.join(' + ') || 'none'}; kexa reads byte-level tokenizers only`,
  );
}

function decoderSteps(decoder: unknown): string[] {
  if (typeof decoder !== 'object' || decoder === null) return [];
  const { type, decoders } = decoder as { type?: unknown; decoders?: unknown };
  return type === 'Sequence' && Array.isArray(decoders) ? decoders.flatMap(decoderSteps) : [String(type)];
}

function tokenToBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = alphabet.get(character);
    if (byte === undefined) return new TextEncoder().encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** GPT-2's alphabet: bytes that print in Latin-1 are themselves, the others follow from U+0100 on in order. */
const alphabet: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    map.set(String.fromCharCode(prints ? byte : next++), byte);
  }
  return map;
})();

/** The tokens that fill prompts and contexts. */
import { KexaError } from '../errors.js';
import type { Model } from '../model/model.js';

const builtInText =
  'To move a table, click the handle at its corner and drag it to its new place. To copy it, hold down the Ctrl key while you ' +
  'drag. A table that is wider than the page can be turned: choose Layout, then Text Direction. If a row is split between two ' +
  'pages, select it, open its properties and clear the box that lets rows break. In the beginning was the word, and the word ' +
  'was written down, line upon line, until the book was full; and the reader opened it at evening and read until the lamp ' +
  'had burned low. Every function below takes two numbers and returns one. The first adds them, the second multiplies them, and ' +
  'the third returns the larger of the two. ';

/**
 * `count` tokens of a text, over and over. Without a text that is one that comes with kexa; for a model without a
 * tokenizer it is ids that mean nothing.
 */
export async function tokensOf(model: Model, text: string | undefined, count: number): Promise<number[]> {
  const { vocabSize } = model.config;
  const piece = await encode(model, text ?? builtInText);
  if (piece.length === 0) return Array.from({ length: count }, (_, i) => (i * 7919 + 11) % vocabSize);
  return Array.from({ length: count }, (_, i) => piece[i % piece.length]!);
}

async function encode(model: Model, text: string): Promise<number[]> {
  try {
    return await model.tokenizer.encodeAsync(text);
  } catch (error) {
    if (error instanceof KexaError && error.code === 'KEXA_NOT_FOUND') return [];
    throw error;
  }
}

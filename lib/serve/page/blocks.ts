/** Cuts Markdown into blocks, so that a growing answer renders only its last one anew. */
import { marked, type Token } from 'marked';

/** The blocks of a growing text that will not change any more, and the place where the rest begins. */
export interface GrowingBlocks {
  finished: string[];
  /** The index in the text of the first character that is in no finished block. */
  restAt: number;
}

export const noBlocks: GrowingBlocks = { finished: [], restAt: 0 };

/** The source of each block of a whole text. The sources joined are the text, but for normalized ends of lines. */
export function blocksOf(text: string): string[] {
  return joinSpaces(marked.lexer(text));
}

/**
 * The blocks of a text that has grown since `before` was made of its beginning. A block is finished when another one
 * follows it, because then no more text can belong to it. (A list whose next number is only half there is the one
 * exception: it is cut in two, until the whole text is split by {@link blocksOf}.)
 */
export function growBlocks(before: GrowingBlocks, text: string): GrowingBlocks {
  const blocks = blocksOf(text.slice(before.restAt));
  if (blocks.length < 2) return before;
  const finished = blocks.slice(0, -1);
  const length = finished.reduce((sum, block) => sum + block.length, 0);
  return { finished: [...before.finished, ...finished], restAt: before.restAt + length };
}

/**
 * The text's link definitions, such as `[1]: https://example.org`. A block that is rendered alone needs them.
 */
export function definitionsOf(text: string): string {
  if (!/^ {0,3}\[[^\]]+\]:/m.test(text)) return '';
  const definitions = marked.lexer(text).filter(({ type }) => type === 'def');
  return definitions.map(({ raw }) => `${raw.trimEnd()}\n`).join('');
}

/** Empty lines belong to the block before them, which they may yet turn out to be the inside of. */
function joinSpaces(tokens: readonly Token[]): string[] {
  const blocks: string[] = [];
  for (const { type, raw } of tokens) {
    if (type === 'space' && blocks.length > 0) blocks[blocks.length - 1] += raw;
    else blocks.push(raw);
  }
  return blocks;
}

/** An answer's text given to a `ReplyParser`, whole or cut up. */
import fc from 'fast-check';
import { emptyPiece, ReplyParser, type ReplyParserOptions, type ReplyPiece } from '../../lib/text/reply-parser.js';

/** Parses a text, or the pieces of one. */
export function parse(pieces: string | string[], options: Partial<ReplyParserOptions> = {}): ReplyPiece {
  const parser = new ReplyParser({ startsInReasoning: false, tools: true, ...options });
  const whole = emptyPiece();
  const add = (part: ReplyPiece) => {
    whole.text += part.text;
    whole.reasoning += part.reasoning;
    whole.toolCalls.push(...part.toolCalls);
    whole.failedToolCalls.push(...part.failedToolCalls);
  };
  for (const piece of [pieces].flat()) add(parser.push(piece));
  add(parser.flush());
  return whole;
}

/** Places to cut a text at, for {@link cut}. */
export const cuts = fc.array(fc.nat(), { maxLength: 12 });

export function cut(text: string, places: number[]): string[] {
  const sorted = places.map((place) => place % (text.length + 1)).sort((a, b) => a - b);
  return [...sorted, text.length].map((end, i) => text.slice(sorted[i - 1] ?? 0, end));
}

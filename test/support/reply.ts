/** An answer's text given to a `ReplyParser`, whole or cut up. */
import fc from 'fast-check';
import { emptyPiece, ReplyParser, type ReplyParserOptions, type ReplyPiece } from '../../lib/text/reply-parser.js';
import type { ToolCall } from '../../lib/types.js';

/** An answer without the parts of its calls, and without their JSON texts; {@link parseWhole} has them. */
export interface ParsedReply extends Omit<ReplyPiece, 'toolCallDeltas' | 'toolCalls'> {
  toolCalls: Omit<ToolCall, 'argumentsText'>[];
}

/** Parses a text, or the pieces of one. */
export function parse(pieces: string | string[], options: Partial<ReplyParserOptions> = {}): ParsedReply {
  const { toolCallDeltas: _, toolCalls, ...rest } = parseWhole(pieces, options);
  return { ...rest, toolCalls: toolCalls.map(({ argumentsText: _, ...call }) => call) };
}

/** Parses a text, or the pieces of one. The calls' ids are `call_0`, `call_1` and so on, in the order of their starts. */
export function parseWhole(pieces: string | string[], options: Partial<ReplyParserOptions> = {}): ReplyPiece {
  let ids = 0;
  const newCallId = () => `call_${ids++}`;
  const parser = new ReplyParser({ startsInReasoning: false, tools: true, newCallId, ...options });
  const whole = emptyPiece();
  const add = (part: ReplyPiece) => {
    whole.text += part.text;
    whole.reasoning += part.reasoning;
    whole.toolCallDeltas.push(...part.toolCallDeltas);
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

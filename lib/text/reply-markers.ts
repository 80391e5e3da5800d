/** Markers that open and close the parts of an answer, as its text has them. */
import { families } from '../files/family/families.js';
import type { Family } from '../files/family/family.js';

/** The markers before and behind the thinking. */
export type ReasoningMarkers = Family['reasoning'];

/** The markers of thinking where a model's template names none. */
export const commonReasoning: ReasoningMarkers = { open: '<think>', close: '</think>' };
export const callOpen = '<tool_call>';
export const callClose = '</tool_call>';

/** The markers of thinking that a model's chat template names; `mentions` says whether it has a text. */
export function reasoningOf(mentions: (text: string) => boolean): ReasoningMarkers {
  const pairs = families.map(({ reasoning }) => reasoning);
  return pairs.find(({ open, close }) => mentions(open) || mentions(close)) ?? commonReasoning;
}

/** The special tokens that {@link ReplyParser} must see as text. */
export function replyMarkers({ open, close }: ReasoningMarkers = commonReasoning): string[] {
  return [open, close, callOpen, callClose];
}

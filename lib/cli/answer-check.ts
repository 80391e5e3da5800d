/** Does the check of `kexa generate --check`: makes the same answer once more, without drafts. */
import type { Model } from '../model/model.js';
import { firstDifference } from '../model/verify.js';
import type { GenerateOptions, GenerationResult, Prompt } from '../types.js';
import type { Interrupt } from './interrupt.js';
import { readGeneration } from './reply-writer.js';
import type { TokenSpelling } from './token-spelling.js';

export interface AnswerCheck {
  same: boolean;
  /** `expected` is the id without drafts. An id is null if its answer is over there. */
  firstDifference: { position: number; expected: number | null; found: number | null } | null;
}

/** Generates an answer again without drafts, with its seed. Null if one of the two was interrupted. */
export async function checkAnswer(
  model: Model,
  prompt: Prompt,
  options: GenerateOptions,
  { ids, seed, finishReason }: GenerationResult,
  interrupt: Interrupt,
): Promise<AnswerCheck | null> {
  if (finishReason === 'aborted') return null;
  const again = await readGeneration(
    model.generate(prompt, { ...options, seed, mtp: false }),
    interrupt,
    async () => {},
  );
  if (again.finishReason === 'aborted') return null;
  const difference = firstDifference(again.ids, ids);
  return { same: difference === null, firstDifference: difference };
}

/** One line on what a check found. */
export function checkText(
  { firstDifference }: AnswerCheck,
  { ids }: Pick<GenerationResult, 'ids'>,
  spelling: TokenSpelling,
): string {
  if (firstDifference === null)
    return `kexa: checked: without drafts the answer has the same ${ids.length} ${ids.length === 1 ? 'token' : 'tokens'}\n`;
  const { position, expected, found } = firstDifference;
  const token = (id: number | null) => (id === null ? 'none' : `${id} ${spelling.show(id)}`.trim());
  return `kexa: checked: without drafts the answer is another: token ${position} is ${token(expected)}, with them ${token(found)}\n`;
}

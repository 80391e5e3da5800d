import type { Generation } from '../model/generation.js';
import type { Model } from '../model/model.js';
import type { GenerationResult, Piece } from '../types.js';
import type { Interrupt } from './interrupt.js';
import { writeAnswer, writeDimmed, writeNote } from './output.js';

/**
 * Writes an answer as it comes: its text to stdout, and its thinking, dimmed, to stderr. The output ends with a
 * newline, whatever the text ends with.
 */
export class ReplyWriter {
  readonly #showsThinking: boolean;
  #lastOfThinking = '';
  #written = 0;

  constructor({ showsThinking }: { showsThinking: boolean }) {
    this.#showsThinking = showsThinking;
  }

  async write({ text, reasoning }: Pick<Piece, 'text' | 'reasoning'>): Promise<void> {
    if (this.#showsThinking && reasoning !== '') {
      writeDimmed(reasoning);
      this.#lastOfThinking = reasoning.slice(-1);
    }
    if (text === '') return;
    this.#endThinking();
    this.#written += text.length;
    await writeAnswer(text);
  }

  /** Writes the part of the result that no piece had, and the final newline. */
  async end({ text }: Pick<GenerationResult, 'text'>): Promise<void> {
    await this.write({ text: text.slice(this.#written), reasoning: '' });
    this.#endThinking();
    await writeAnswer('\n');
  }

  /** Ends the current line, so that an error message begins on a new one. */
  async breakOff(): Promise<void> {
    this.#endThinking();
    if (this.#written > 0) await writeAnswer('\n');
  }

  #endThinking(): void {
    if (this.#lastOfThinking === '') return;
    // An empty line separates thinking and text if both are on one screen.
    writeNote(this.#lastOfThinking === '\n' ? '\n' : '\n\n');
    this.#lastOfThinking = '';
  }
}

/**
 * Reads a generation to its end, or until it is interrupted. An interrupted generation gives the result so far, with
 * the finish reason `aborted`.
 */
export async function readGeneration(
  generation: Generation,
  interrupt: Interrupt,
  onPiece: (piece: Piece) => Promise<void>,
): Promise<GenerationResult> {
  const iterator = generation[Symbol.asyncIterator]();
  const stop = () => {
    // This ends a `next()` that is waiting, even in the middle of a long prompt.
    void iterator.return?.();
  };
  interrupt.signal.addEventListener('abort', stop, { once: true });
  if (interrupt.signal.aborted) stop();
  try {
    for (let step = await iterator.next(); !step.done; step = await iterator.next()) {
      if (interrupt.signal.aborted) break;
      await onPiece(step.value);
    }
    return await generation;
  } finally {
    interrupt.signal.removeEventListener('abort', stop);
  }
}

/** Whether an answer ended at the most tokens that it may have, or the context has. */
export function isCut({ finishReason }: GenerationResult): boolean {
  return finishReason === 'length';
}

/** The notice for an answer that was cut at -n. */
export function cutText({ text, reasoning, usage }: GenerationResult): string {
  const tokens = usage.completionTokens === 1 ? '1 token' : `${usage.completionTokens} tokens`;
  return text === '' && reasoning !== ''
    ? `all of the ${tokens} that -n allows went into thinking; a larger -n, or --no-think, leaves some for the answer`
    : `the answer is cut after the ${tokens} that -n allows`;
}

/** Whether an answer ended because the context was full. */
export function isContextFull(
  { contextSize }: Pick<Model, 'contextSize'>,
  { usage, finishReason }: GenerationResult,
): boolean {
  return finishReason === 'length' && usage.promptTokens + usage.completionTokens >= contextSize;
}

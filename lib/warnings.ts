/** A notice that a caller should see although nothing failed. */
import { invalid } from './options.js';
import { printable } from './printable.js';

/**
 * Every code a {@link KexaWarning} can carry. Codes are stable across releases; messages are not.
 *
 * @example
 * const ignored: KexaWarningCode[] = ['KEXA_PASSED_OVER'];
 */
export type KexaWarningCode =
  /** The model's drafting block is missing from its weights: answers are the same, but come no faster for drafts. */
  | 'KEXA_NO_DRAFTS'
  /** No end token is known: an answer goes on until its length is reached. */
  | 'KEXA_NO_END_TOKEN'
  /** Something beside or in the model was passed over, such as an importance matrix. */
  | 'KEXA_PASSED_OVER'
  /** The weights are larger than main memory: they are read from disk again and again. */
  | 'KEXA_SLOW_MEMORY'
  /** The tokenizer's file says something that was mended, or that has no effect. */
  | 'KEXA_TOKENIZER'
  /** The chat template does not fit the tokenizer, or says something that has no effect. */
  | 'KEXA_TEMPLATE';

/**
 * One thing that a caller should know.
 *
 * @example
 * const model = await loadModel('models/tiny', {
 *   onWarning: ({ code, message }: KexaWarning) => console.warn(code, message),
 * });
 */
export interface KexaWarning {
  code: KexaWarningCode;
  /** For people; control characters of a file are escaped. */
  message: string;
}

/** Tells a warning to whoever asked for them. */
export type Warn = (code: KexaWarningCode, message: string) => void;

/**
 * Where the warnings of one call go: to its option `onWarning`, else to Node's `process.emitWarning` with the code,
 * where each is told once in a process.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT if `onWarning` is set and no function
 */
export function warningChannel(onWarning: unknown): Warn {
  if (onWarning !== undefined && typeof onWarning !== 'function') throw invalid('onWarning', 'a function', onWarning);
  return (code, message) => {
    const warning: KexaWarning = { code, message: printable(message) };
    if (typeof onWarning === 'function') onWarning(warning);
    else emitOnce(warning);
  };
}

const emitted = new Set<string>();

function emitOnce({ code, message }: KexaWarning): void {
  if (emitted.has(message)) return;
  emitted.add(message);
  process.emitWarning(message, { type: 'KexaWarning', code });
}

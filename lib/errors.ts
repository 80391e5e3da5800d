import { printable } from './printable.js';

/**
 * Every code a {@link KexaError} can carry. Codes are stable across releases; messages are not.
 *
 * @example
 * const code: KexaErrorCode = 'KEXA_OUT_OF_MEMORY';
 * await loadModel('models/tiny').catch((error) => {
 *   if (!(error instanceof KexaError && error.code === code)) throw error;
 * });
 */
export type KexaErrorCode =
  /** An option or argument has the wrong type or range. */
  | 'KEXA_INVALID_ARGUMENT'
  /** A file or folder is not there. */
  | 'KEXA_NOT_FOUND'
  /** A file is there but damaged: cut short, not JSON, offsets outside it. */
  | 'KEXA_BAD_FILE'
  /** A file cannot be written: no room, no permission, or no regular file stands at its place. */
  | 'KEXA_WRITE_FAILED'
  /** A hub cannot be reached, refuses, or sends other bytes than it lists. */
  | 'KEXA_DOWNLOAD_FAILED'
  /** A config field is missing, contradictory or out of range. */
  | 'KEXA_BAD_CONFIG'
  /** The model needs something this version does not compute; running it would give wrong answers. */
  | 'KEXA_UNSUPPORTED'
  /** A tensor is missing, or its shape or type is not what the config asks for. */
  | 'KEXA_TENSOR_MISMATCH'
  /** The tokenizer file is missing, broken, or does not fit the model. */
  | 'KEXA_BAD_TOKENIZER'
  /** The chat template is missing or refused the messages. */
  | 'KEXA_BAD_TEMPLATE'
  /** The prompt does not fit the context. */
  | 'KEXA_CONTEXT_FULL'
  /** The plan needs more memory than there is. */
  | 'KEXA_OUT_OF_MEMORY'
  /** No such device, or it cannot run this model. */
  | 'KEXA_NO_DEVICE'
  /** The GPU was lost or did not answer. The model must be loaded again. */
  | 'KEXA_DEVICE_LOST'
  /** The model was closed. */
  | 'KEXA_CLOSED'
  /** The session is already generating, or another process works in the folder. */
  | 'KEXA_BUSY'
  /** The native addon could not be loaded. */
  | 'KEXA_NO_BINARY'
  /** A saved session is of another model, or of other settings. */
  | 'KEXA_SESSION_MISMATCH'
  /** A fault in kexa itself. */
  | 'KEXA_INTERNAL';

/**
 * The one error kexa throws on purpose. Its message says what was wanted, what was found and where; control characters
 * of names and values out of files are escaped in it.
 *
 * An aborted call is not a `KexaError`: it rejects with its signal's `reason`.
 *
 * @example
 * try {
 *   await loadModel('K-EXAONE-236B-A23B');
 * } catch (error) {
 *   if (error instanceof KexaError && error.code === 'KEXA_OUT_OF_MEMORY') console.error(error.message);
 *   else throw error;
 * }
 */
export class KexaError extends Error {
  override readonly name = 'KexaError';
  /** The kind of error. It stays the same across releases. */
  readonly code: KexaErrorCode;

  constructor(code: KexaErrorCode, message: string, options?: ErrorOptions) {
    super(printable(message), options);
    this.code = code;
  }
}

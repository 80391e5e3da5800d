/** Aborting: calls reject with the signal's reason, whatever they were doing. */

import { type NativeEvent, type NativeRequest, readRequest } from './native.js';

/** Calls `onAbort` once the signal is aborted, now if it is; the function that is returned takes that back. */
export function whenAborted(signal: AbortSignal | undefined, onAbort: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return () => signal.removeEventListener('abort', onAbort);
}

/** Reads a request to its end. If the signal is aborted meanwhile, stops it and throws the signal's reason. */
export async function readAborting(
  request: NativeRequest,
  signal: AbortSignal | undefined,
  onEvent: (event: NativeEvent) => void,
): Promise<void> {
  const stopListening = whenAborted(signal, () => request.cancel());
  try {
    await readRequest(request, onEvent);
    signal?.throwIfAborted();
  } finally {
    stopListening();
  }
}

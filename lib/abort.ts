/** Aborting: calls reject with the signal's reason, whatever they were doing. */

/** Calls `onAbort` when the signal is aborted; the function that is returned takes that back. */
export function whenAborted(signal: AbortSignal | undefined, onAbort: () => void): () => void {
  if (signal === undefined) return () => {};
  signal.addEventListener('abort', onAbort, { once: true });
  return () => signal.removeEventListener('abort', onAbort);
}

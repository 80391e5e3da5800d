/** Aborting: calls reject with the signal's reason, whatever they were doing. */

import { type NativeEvent, type NativeRequest, readRequest } from './native.js';

/**
 * The functions to call for each signal. A signal that many calls share, as a server's shutdown does, has one listener:
 * Node warns of more than ten listeners.
 */
const waiting = new WeakMap<AbortSignal, { callbacks: Set<{ call: () => void }>; listener: () => void }>();

/** Calls `onAbort` when the signal is aborted; the function that is returned takes that back. */
export function whenAborted(signal: AbortSignal | undefined, onAbort: () => void): () => void {
  if (signal === undefined) return () => {};
  const shared = waiting.get(signal) ?? listenTo(signal);
  const entry = { call: onAbort };
  shared.callbacks.add(entry);
  return () => {
    if (!shared.callbacks.delete(entry) || shared.callbacks.size > 0) return;
    signal.removeEventListener('abort', shared.listener);
    waiting.delete(signal);
  };
}

function listenTo(signal: AbortSignal): { callbacks: Set<{ call: () => void }>; listener: () => void } {
  const callbacks = new Set<{ call: () => void }>();
  const listener = () => {
    waiting.delete(signal);
    const entries = [...callbacks];
    callbacks.clear();
    for (const { call } of entries) call();
  };
  signal.addEventListener('abort', listener, { once: true });
  const shared = { callbacks, listener };
  waiting.set(signal, shared);
  return shared;
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

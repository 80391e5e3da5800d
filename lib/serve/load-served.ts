/** Loads a model for many requests at a time: with as many slots, and as large a cache, as memory has room for. */
import { freemem } from 'node:os';
import { chooseDevices } from '../device/devices.js';
import { KexaError } from '../errors.js';
import { limits } from '../limits.js';
import { loadModel } from '../model/load.js';
import type { Model } from '../model/model.js';
import type { LoadOptions } from '../types.js';

/** The room that a server takes where its caller does not say and memory allows. */
const wanted = {
  /** Sequences that are cached at a time. */
  slots: { cpu: 16, gpu: 64 },
  /** Whole contexts that the cache of all sequences together holds, if there is one model. */
  contexts: 4,
  /** Main memory for kept prompts (bytes), at most an eighth of what is free. */
  prefixCacheBytes: 4 * 2 ** 30,
} as const;

/**
 * Loads a model. Where they are not given, `slots` and `cacheTokens` are as large as memory allows, up to 16 slots on a
 * CPU and 64 on a GPU, and four contexts. Prompts are kept for all requests that begin alike. `isAlone`: no other model
 * wants memory; with others, the cache holds one context.
 *
 * @throws KexaError as `loadModel` does
 */
export async function loadServed(
  path: string,
  options: LoadOptions,
  { isAlone, signal }: { isAlone: boolean; signal: AbortSignal },
): Promise<Model> {
  const devices = await chooseDevices(options.device);
  const isGpu = devices.some(({ info }) => info.kind === 'gpu');
  const prefixCacheBytes = Math.min(wanted.prefixCacheBytes, Math.floor(freemem() / 8));
  const context = options.contextSize ?? limits.defaultContext;
  let contexts: number = isAlone ? wanted.contexts : 1;
  for (let slots: number = isGpu ? wanted.slots.gpu : wanted.slots.cpu; ; slots /= 2, contexts /= 2) {
    const cacheTokens = options.cacheTokens ?? (contexts > 1 ? contexts * context : undefined);
    const room = {
      slots: options.slots ?? slots,
      ...(cacheTokens !== undefined && { cacheTokens }),
      prefixCacheBytes: options.prefixCacheBytes ?? prefixCacheBytes,
    };
    try {
      return await loadModel(path, { ...options, ...room, signal });
    } catch (error) {
      // Memory is planned before anything large is read, so a refusal comes soon.
      const isTooLarge = error instanceof KexaError && error.code === 'KEXA_OUT_OF_MEMORY';
      if (!isTooLarge || slots <= limits.slots) throw error;
    }
  }
}

/** Asks the core for a plan, and searches for the largest number with which a plan fits. */
import type { ModelDescription } from '../description.js';
import { fromNative, type NativePlan, type NativePlanOptions, native } from '../native.js';

/** The core's plan. @throws KexaError KEXA_INVALID_ARGUMENT if devices cannot share the model so */
export function planned(description: ModelDescription, options: NativePlanOptions): NativePlan {
  return fromNative(() => native().plan(description, options));
}

/** The largest number from 1 to `most` that fits, or 0. If a number fits, all smaller ones must fit too. */
export function largestFitting(most: number, fits: (count: number) => boolean): number {
  let largest = 0;
  for (let step = 2 ** Math.floor(Math.log2(most)); step >= 1; step /= 2)
    if (largest + step <= most && fits(largest + step)) largest += step;
  return largest;
}

/**
 * Advice for a message: the most `cacheTokens` below those of `options` whose plan fits, or the longest context, if a
 * shorter one is needed or the cache has as many tokens as the context.
 */
export function contextAdvice(
  description: ModelDescription,
  options: NativePlanOptions,
  isFitting: (plan: NativePlan) => boolean,
): string {
  if (options.cacheTokens > options.contextSize) {
    const isFittingWith = (cacheTokens: number) => isFitting(planned(description, { ...options, cacheTokens }));
    const tokens = largestFitting(options.cacheTokens - 1, isFittingWith);
    if (tokens >= options.contextSize) return `cacheTokens ${tokens} would fit`;
  }
  const fits = largestFitting(options.contextSize - 1, (contextSize) => {
    const prefillChunk = Math.min(options.prefillChunk, contextSize);
    return isFitting(planned(description, { ...options, contextSize, cacheTokens: 0, prefillChunk }));
  });
  const without = options.cacheTokens > 0 ? ' without cacheTokens' : '';
  return fits > 0 ? `contextSize ${fits} would fit${without}` : 'not even a context of one token would fit';
}

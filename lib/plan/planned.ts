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

/** Advice for a message: the longest context below that of `options` whose plan fits. */
export function contextAdvice(
  description: ModelDescription,
  options: NativePlanOptions,
  isFitting: (plan: NativePlan) => boolean,
): string {
  const fits = largestFitting(options.contextSize - 1, (contextSize) => {
    const prefillChunk = Math.min(options.prefillChunk, contextSize);
    return isFitting(planned(description, { ...options, contextSize, prefillChunk }));
  });
  return fits > 0 ? `contextSize ${fits} would fit` : 'not even a context of one token would fit';
}

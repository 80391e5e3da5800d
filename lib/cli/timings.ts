import type { Model } from '../model/model.js';
import { weightBytesPerToken } from '../plan/traffic.js';
import type { ExpertTraffic, GenerationResult, WeightType } from '../types.js';
import { byteRateText, bytesText, durationText } from './figures.js';

/**
 * Bytes of weights that each step of an answer reads, where all steps are alike: they have one row each, and the device
 * holds all experts. Null otherwise, because drafts choose experts of their own.
 */
export function bytesPerStep(
  model: Model,
  flags: { weights?: WeightType; mtp?: number | 'auto' | 'off' },
): number | null {
  const mayDraft = model.config.mtp !== null && flags.mtp !== 'off' && flags.mtp !== 0;
  return mayDraft || model.memory.experts !== null
    ? null
    : weightBytesPerToken(model.description, flags.weights ?? 'auto');
}

/** One line about an answer's time and tokens. `stepBytes` comes from {@link bytesPerStep}. */
export function timingsText(
  { usage, timings, speculation, experts, finishReason }: GenerationResult,
  stepBytes: number | null,
): string {
  const { promptTokens, cachedTokens, completionTokens } = usage;
  const cached = cachedTokens > 0 ? ` (${cachedTokens} cached)` : '';
  const { steps, drafted, accepted, meanAcceptedLength, byPosition, timeSavedMs } = speculation;
  // The share of first drafts that was kept, of second drafts, and so on.
  const kept = byPosition.map((position) => (position.accepted / position.drafted).toFixed(2)).join(' ');
  const drafts = `drafts kept ${kept}, ${accepted} of ${drafted} in all, ${meanAcceptedLength.toFixed(2)} tokens a step`;
  const saved =
    timeSavedMs === null ? '' : `, ${timeSavedMs < 0 ? 'lost' : 'saved'} ${durationText(Math.abs(timeSavedMs))}`;
  const parts = [
    `prompt ${promptTokens} tokens${cached} in ${durationText(timings.prefillMs)}, ${rateText(timings.prefillTokensPerSecond)}`,
    `answer ${completionTokens} tokens in ${durationText(timings.decodeMs)}, ${rateText(timings.decodeTokensPerSecond)}${readText(timings.decodeTokensPerSecond, stepBytes)}`,
    `first after ${durationText(timings.firstTokenMs)}`,
    ...(experts === undefined ? [] : [expertsText(experts)]),
    ...(steps > 0 ? [`${drafts}${saved}`] : []),
    `ended by ${finishReason}`,
  ];
  return `${parts.join('; ')}\n`;
}

function expertsText({ hitRate, computed, copies, copiedBytes }: ExpertTraffic): string {
  return (
    `experts ${(100 * hitRate).toFixed(1)} % on the GPU` +
    (copies > 0 ? `, ${copies} copied there (${bytesText(copiedBytes)})` : '') +
    (computed > 0 ? `, ${computed} choices computed by the processor` : '')
  );
}

/** How fast weights were read; empty where that is not known. */
function readText(tokensPerSecond: number, stepBytes: number | null): string {
  return stepBytes === null || tokensPerSecond === 0 ? '' : `, ${byteRateText(tokensPerSecond * stepBytes)} of weights`;
}

function rateText(tokensPerSecond: number): string {
  return `${tokensPerSecond.toFixed(tokensPerSecond < 100 ? 1 : 0)} tokens/s`;
}

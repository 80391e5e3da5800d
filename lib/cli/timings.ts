import type { ExpertTraffic, GenerationResult } from '../types.js';
import { bytesText, durationText } from './figures.js';

/** One line about an answer's time and tokens. */
export function timingsText({ usage, timings, speculation, experts, finishReason }: GenerationResult): string {
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
    `answer ${completionTokens} tokens in ${durationText(timings.decodeMs)}, ${rateText(timings.decodeTokensPerSecond)}`,
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

function rateText(tokensPerSecond: number): string {
  return `${tokensPerSecond.toFixed(tokensPerSecond < 100 ? 1 : 0)} tokens/s`;
}

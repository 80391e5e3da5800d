import type { GenerationResult } from '../types.js';
import { durationText } from './figures.js';

/** One line on what an answer took. */
export function timingsText({ usage, timings, finishReason }: GenerationResult): string {
  const { promptTokens, cachedTokens, completionTokens } = usage;
  const cached = cachedTokens > 0 ? ` (${cachedTokens} cached)` : '';
  const parts = [
    `prompt ${promptTokens} tokens${cached} in ${durationText(timings.prefillMs)}, ${rateText(timings.prefillTokensPerSecond)}`,
    `answer ${completionTokens} tokens in ${durationText(timings.decodeMs)}, ${rateText(timings.decodeTokensPerSecond)}`,
    `first after ${durationText(timings.firstTokenMs)}`,
    `ended by ${finishReason}`,
  ];
  return `${parts.join('; ')}\n`;
}

function rateText(tokensPerSecond: number): string {
  return `${tokensPerSecond.toFixed(tokensPerSecond < 100 ? 1 : 0)} tokens/s`;
}

/** `kexa verify --crowd`: whether other answers at the same time change nothing. */
import { type CrowdDivergence, type CrowdReport, crowdRequests, verifyCrowd } from '../model/crowd.js';
import { encodePrompt, hasTokenizer } from '../model/generation.js';
import type { Model } from '../model/model.js';
import { exitCodes } from './exit.js';
import { groupedText } from './figures.js';
import type { Interrupt } from './interrupt.js';
import { writeAnswer, writeJson } from './output.js';
import { ProgressBar } from './progress-bar.js';
import type { NamedPrompt } from './verify-prompts.js';

const defaultSeed = 1;
const defaultTokens = 64;
/** The divergences that are shown. JSON has all of them. */
const mostShown = 5;

/** Checks `count` random requests, and prints the report. */
export async function verifyCrowdShown(
  model: Model,
  prompts: readonly NamedPrompt[],
  flags: { folder: string; count: number; seed?: number; maxTokens?: number; json?: boolean },
  { signal }: Interrupt,
): Promise<number> {
  const { folder, count, seed = defaultSeed, maxTokens = defaultTokens, json } = flags;
  const sources = await Promise.all(
    prompts.map(async ({ prompt }) => Array.from((await encodePrompt(model, prompt, { signal })).ids)),
  );
  const requests = crowdRequests({
    ...{ count, seed, sources, maxTokens },
    vocabSize: model.config.vocabSize,
    contextSize: model.contextSize,
    hasDrafts: model.config.mtp !== null,
    hasText: hasTokenizer(model),
  });
  const report = await verifyShown(model, requests, signal);
  const same = report.divergences.length === 0;
  if (json) await writeJson({ model: folder, device: model.device.name, same, crowd: { seed, ...report } });
  else await writeAnswer(crowdText(report, seed, model.device.name));
  return same ? exitCodes.ok : exitCodes.failure;
}

async function verifyShown(
  model: Model,
  requests: ReturnType<typeof crowdRequests>,
  signal: AbortSignal,
): Promise<CrowdReport> {
  using bar = new ProgressBar('crowd');
  return await verifyCrowd(model, requests, {
    signal,
    onProgress: ({ done, total }) => bar.showPart(done / total, `${total} answers`),
  });
}

/** The report as text. */
export function crowdText(report: CrowdReport, seed: number, device: string): string {
  const { requests, atOnce, tokens, left, drafted, accepted, divergences } = report;
  const requestsText = `${groupedText(requests)} ${requests === 1 ? 'request' : 'requests'}`;
  const shown = divergences.slice(0, mostShown).flatMap(divergenceLines);
  const more = divergences.length - mostShown;
  const checked = `${requestsText}, ${groupedText(tokens)} tokens`;
  const lines = [
    `crowd of ${requestsText}, seed ${seed}`,
    `  checked   ${groupedText(tokens)} tokens; up to ${atOnce} at once; ${left} left early; ${accepted} of ${drafted} drafts kept`,
    ...(divergences.length === 0 ? ['  found     no divergence'] : shown),
    ...(more > 0 ? [`  and ${more} more`] : []),
    divergences.length === 0
      ? `no divergence: ${checked}, on ${device}`
      : `DIVERGENCE in ${divergences.length}: ${checked}, on ${device}`,
  ];
  return lines.map((line) => `${line}\n`).join('');
}

const wording: Readonly<Record<CrowdDivergence['what'], string>> = {
  ids: 'at token',
  logprobs: 'in the log-probabilities of token',
  text: 'in the text, at character',
  finish: 'in how it ended',
  error: 'in an error',
};

function divergenceLines({ request, promptTokens, options, what, position, expected, found }: CrowdDivergence) {
  return [
    `  found     DIVERGENCE in request ${request}, ${wording[what]}${position === null ? '' : ` ${position}`}`,
    `  alone     ${expected}`,
    `  in it     ${found}`,
    `  request   a prompt of ${promptTokens}; ${JSON.stringify(options)}`,
  ];
}

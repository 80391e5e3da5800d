/** kexa as a contestant: a process that {@link file://./contestant.ts} starts. */
import { wholePages } from '../../limits.js';
import { loadModel } from '../../model/load.js';
import type { Model } from '../../model/model.js';
import { serve } from './contestant.js';

let model: Model;

serve({
  async start({ model: path, threads, contextSize, sequences, batchSize, activations }) {
    const cacheTokens = sequences * wholePages(contextSize);
    const prefillChunk = batchSize === undefined ? {} : { prefillChunk: batchSize };
    model = await loadModel(path, {
      device: 'cpu',
      threads,
      contextSize,
      slots: sequences,
      cacheTokens,
      activations,
      ...prefillChunk,
    });
  },
  async run({ prompts, generated, wantsMargins = false }) {
    const options = { temperature: 0, maxTokens: generated, ignoreEos: true, mtp: false as const };
    const answers = await Promise.all(
      prompts.map(async (prompt) => await model.generate(prompt, { ...options, ...(wantsMargins && { logprobs: 2 }) })),
    );
    const { ids, logprobs = [] } = answers[0]!;
    return { ids, margins: logprobs.map(({ top }) => top[0]!.logprob - top[1]!.logprob) };
  },
});

/** kexa as a contestant: a process that {@link file://./contestant.ts} starts. */
import { loadModel } from '../../model/load.js';
import type { Model } from '../../model/model.js';
import { serve } from './contestant.js';

let model: Model;

serve({
  async start({ model: path, threads, contextSize, batchSize, activations }) {
    const prefillChunk = batchSize === undefined ? {} : { prefillChunk: batchSize };
    model = await loadModel(path, { device: 'cpu', threads, contextSize, activations, ...prefillChunk });
  },
  async run({ prompt, generated, wantsMargins = false }) {
    const options = { temperature: 0, maxTokens: generated, ignoreEos: true, mtp: false as const };
    const { ids, logprobs = [] } = await model.generate(prompt, { ...options, ...(wantsMargins && { logprobs: 2 }) });
    return { ids, margins: logprobs.map(({ top }) => top[0]!.logprob - top[1]!.logprob) };
  },
});

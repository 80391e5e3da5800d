/**
 * node-llama-cpp as a contestant: a process that {@link file://./contestant.ts} starts. Its URL is the first argument.
 */
import { serve } from './contestant.js';

/** The part of node-llama-cpp that is used. */
interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: number[], options: { temperature: number; yieldEogToken: boolean }): AsyncIterable<number>;
}
interface Library {
  getLlama(options: { gpu: false; build: 'never'; logLevel: string; maxThreads: number }): Promise<{
    loadModel(options: { modelPath: string; gpuLayers: 0 }): Promise<{
      createContext(options: {
        contextSize: number;
        sequences: number;
        batchSize?: number;
        threads: number;
      }): Promise<{ getSequence(): Sequence }>;
    }>;
  }>;
}

let open: Sequence[];

serve({
  async start({ model: modelPath, threads, contextSize, sequences, batchSize }) {
    const { getLlama } = (await import(process.argv[2]!)) as Library;
    const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads });
    const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
    const context = await model.createContext({ contextSize, sequences, threads, ...(batchSize && { batchSize }) });
    open = Array.from({ length: sequences }, () => context.getSequence());
  },
  async run({ prompts, generated }) {
    // Sequences that are evaluated at the same time share llama.cpp's batches.
    const answers = await Promise.all(prompts.map((prompt, i) => answer(open[i]!, prompt, generated)));
    return { ids: answers[0]! };
  },
});

async function answer(sequence: Sequence, prompt: number[], generated: number): Promise<number[]> {
  await sequence.clearHistory();
  const ids: number[] = [];
  for await (const id of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    ids.push(id);
    if (ids.length === generated) break;
  }
  return ids;
}

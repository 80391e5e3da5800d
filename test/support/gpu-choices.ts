/** Compares the tokens that the software GPU chooses with those of the CPU device, setting by setting. */
import test from 'tape';
import { type GenerateOptions, loadModel, type Model } from '../../lib/index.js';
import { randomNumbers } from './compare.js';
import { type GoldenName, modelFolder } from './goldens.js';

const settings: GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 1, seed: 1 },
  { temperature: 0.7, topK: 20, seed: 2 },
  { temperature: 1.3, topP: 0.8, seed: 3 },
  { temperature: 1, minP: 0.5, seed: 4 },
  { temperature: 0.9, topK: 50, topP: 0.9, minP: 0.02, seed: 5, repeatPenalty: 1.3 },
  // The bias leaves few likely tokens, so that tokens come again and each penalty changes the answer.
  {
    ...{ temperature: 1, repeatPenalty: 1.2, repeatLastN: 3, presencePenalty: 1, frequencyPenalty: 1, seed: 3 },
    logitBias: { 10: 14, 20: 14, 30: 14, 40: 14, 50: 14 },
  },
  { temperature: 0, repeatPenalty: 1.5, logitBias: { 5: Number.NEGATIVE_INFINITY, 7: 3 } },
  { temperature: 1e-9, seed: 7 },
  { temperature: 1, topP: 0.999, seed: 8 },
  { temperature: 1, topK: 1, seed: 9 },
  { temperature: 2, topP: 0.0001, seed: 10 },
];

/** For a setting's index: filters without which another token would be chosen on edge. */
const tellingFilters: Readonly<Record<number, GenerateOptions>> = {
  3: { topP: 1 },
  4: { minP: 0 },
  5: { topK: 0, topP: 1 },
  6: { repeatPenalty: 1, repeatLastN: -1, presencePenalty: 0, frequencyPenalty: 0 },
};

function ids(next: () => number, model: Model, most: number): number[] {
  return Array.from({ length: 3 + Math.floor(next() * (most - 2)) }, () => Math.floor(next() * model.config.vocabSize));
}

/** The prompts, settings and drafts that a test of choices tries. */
export interface ChoiceTrial {
  /** Numbers of drafts that settings try in turn. */
  mtps: readonly (readonly (false | number)[])[];
  /** The most tokens of a prompt. Prompts may be longer than the largest small step, of 16 rows. */
  most: number;
  /** The number of settings, the first of the list. */
  count: number;
  /** The model on the GPU, which stays open. Default: one of the test's own. */
  open?: () => Promise<Model>;
}

/** The number of settings that there are. */
export const settingCount: number = settings.length;

/** A test that the GPU chooses the CPU device's tokens with this golden model. */
export function testChoices(name: GoldenName, { mtps, most, count, open }: ChoiceTrial): void {
  test(`${name}: the GPU chooses what the CPU chooses`, async (t) => {
    const cpu = await loadModel(modelFolder(name), { device: 'cpu' });
    const gpu = await (open?.() ?? loadModel(modelFolder(name), { device: 'swiftshader' }));
    const next = randomNumbers(41);
    for (const [i, setting] of settings.slice(0, count).entries())
      for (const mtp of mtps[i % mtps.length]!) {
        const prompt = ids(next, cpu, most);
        const options = { ...setting, maxTokens: 6, ignoreEos: true };
        const wanted = await cpu.generate(prompt, options);
        const found = await gpu.generate(prompt, { ...options, mtp });
        t.deepEqual(found.ids, wanted.ids, `${JSON.stringify(setting)}, mtp ${mtp}`);
        if (name !== 'edge') continue;
        for (const [filter, off] of Object.entries(tellingFilters[i] ?? {})) {
          const other = await cpu.generate(prompt, { ...options, [filter]: off });
          t.notDeepEqual(other.ids, wanted.ids, `${JSON.stringify(setting)}: another answer without ${filter}`);
        }
      }
    await cpu.close();
    if (!open) await gpu.close();
  });
}

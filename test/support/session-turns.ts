/** Compares the answers of sessions with those of fresh ones. */
import test from 'tape';
import type { GenerateOptions, GenerationResult, LoadOptions, Model } from '../../lib/index.js';
import { openModel, randomIds, randomNumbers } from './compare.js';
import type { GoldenName } from './goldens.js';

/** Opens a model with one thread: the steps are small, and two threads would wait for each other on a busy machine. */
export function open(t: test.Test, name: GoldenName, options: LoadOptions = {}): Promise<Model> {
  // Only the sessions' own slots hold tokens.
  return openModel(t, name, { threads: 1, prefixCacheBytes: 0, ...options });
}

/**
 * Options without drafts, because their rows shorten what rings can go back to. Test generate/mtp has sessions with
 * drafts.
 */
export const greedy = { temperature: 0, ignoreEos: true, logprobs: 5, mtp: false } satisfies GenerateOptions;

/** All that an answer says of the model: equal answers were computed equally, to the bit. */
export function said({ ids, logprobs }: GenerationResult) {
  return { ids, logprobs };
}

export async function alone(model: Model, ids: number[], maxTokens: number) {
  return said(await model.generate(ids, { ...greedy, maxTokens }));
}

/** A test of one session that is asked `count` prompts. */
export function testBackAndForth(name: GoldenName, prefillChunk: number, count: number): void {
  test(`${name}, chunks of ${prefillChunk}: ${count} prompts that go back and forth are answered as by fresh sessions`, async (t) => {
    const model = await open(t, name, { prefillChunk, contextSize: 1000 });
    const session = model.createSession();
    const random = randomNumbers(prefillChunk + name.length);
    const upTo = (most: number) => Math.floor(random() * (most + 1));
    let held: number[] = []; // the tokens computed last
    let written = 0; // how far the cache has been written since it was empty
    let kept = 0;
    let wrong = 0;
    for (let i = 0; i < count; i++) {
      // Mostly a little back, sometimes anywhere.
      const shared = random() < 0.6 ? Math.max(0, held.length - upTo(12)) : upTo(held.length);
      const added = 1 + upTo(random() < 0.3 ? 120 : 12);
      const prompt = [...held.slice(0, shared), ...randomIds(added, model.config.vocabSize, i)].slice(0, 400);
      const maxTokens = 1 + upTo(5);
      const found = await session.generate(prompt, { ...greedy, maxTokens });
      const { cachedTokens } = found.usage;

      const common = prompt.findIndex((id, at) => id !== held[at]);
      const most = Math.min(common < 0 ? prompt.length : common, prompt.length - 1);
      const isNear = written - most <= Math.max(prefillChunk, 9);
      if (cachedTokens !== most && (cachedTokens !== 0 || isNear)) {
        wrong++;
        t.fail(`prompt ${i}: ${cachedTokens} cached, ${most} in common, ${written} written`);
      }
      held = [...prompt, ...found.ids.slice(0, -1)];
      written = Math.max(cachedTokens === 0 ? 0 : written, held.length);
      if (cachedTokens > 0) kept++;

      const fresh = await alone(model, prompt, maxTokens);
      if (JSON.stringify(said(found)) === JSON.stringify(fresh)) continue;
      wrong++;
      t.deepEqual(said(found), fresh, `prompt ${i}, ${prompt.length} tokens, ${cachedTokens} cached`);
    }
    t.equal(wrong, 0, 'all are right');
    t.ok(kept > count / 3 && kept < count, `${kept} of ${count} went on from what was cached`);
  });
}

/** Asks sessions whose cache is shared, cut back, kept for others or written to files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import type { GenerateOptions, LoadOptions, Model, Session } from '../../lib/index.js';
import { openModel, randomIds, randomNumbers } from './compare.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from './random-model.js';

export const greedy = { temperature: 0, ignoreEos: true, logprobs: 3, mtp: false } satisfies GenerateOptions;

export function open(t: test.Test, name: string, options: LoadOptions = {}): Promise<Model> {
  return openModel(t, name, { threads: 1, ...options });
}

export function newFolder(t: test.Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-kept-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A model with every kind of layer, small enough to be asked thousands of times. */
export function smallModel(t: test.Test, seed = 3): string {
  const folder = newFolder(t);
  const changes = { hidden_size: 32, head_dim: 8, sliding_windows: [0, 7, 3, 3, 12, 0], mtp_sliding_windows: [5] };
  const config = { ...sisterConfigs.kExaone2, ...changes, max_position_embeddings: 4096 };
  const model = makeRandomModel(config, seed);
  writeRandomModel(folder, model, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  return folder;
}

export async function ask(from: Model | Session, ids: number[], options: GenerateOptions = {}) {
  const { ids: answer, logprobs, usage } = await from.generate(ids, { ...greedy, maxTokens: 3, ...options });
  return { said: { answer, logprobs }, cached: usage.cachedTokens };
}

/** The ways in which what sessions have computed is kept. */
export const keptBy = ['bytes', 'turns'] as const;

/** A test of random operations: forks, rewinds, saved sessions and answers with drafts and without. */
export function testRandomOperations(way: (typeof keptBy)[number], count: number): void {
  const [title, kept] = way === 'bytes' ? ['', { prefixCacheBytes: 200_000 }] : [' with turns kept by default', {}];
  test(`${count} random operations${title}: every answer is that of a session that computes all again`, async (t) => {
    const folder = smallModel(t);
    const file = join(newFolder(t), 'session');
    // All sessions and kept prefixes share four pages.
    const model = await open(t, folder, { contextSize: 256, prefillChunk: 11, ...kept });
    const fresh = await open(t, folder, { contextSize: 256, prefillChunk: 64, prefixCacheBytes: 0 });
    const random = randomNumbers(77);
    const upTo = (most: number) => Math.floor(random() * (most + 1));
    const pick = <T>(from: T[]) => from[upTo(from.length - 1)]!;
    let timelines: { session: Session; ids: number[] }[] = [{ session: model.createSession(), ids: [] }];
    let saved: number[] | undefined;
    const counts: Record<string, number> = {};
    let wrong = 0;
    let cachedTokens = 0;
    for (let i = 0; i < count; i++) {
      const timeline = pick(timelines);
      const kind = random();
      let what = 'answer';
      if (kind < 0.08) {
        what = 'fork';
        timelines.push({ session: await timeline.session.fork(), ids: [...timeline.ids] });
      } else if (kind < 0.14) {
        what = 'rewind';
        timeline.ids.length = Math.max(0, timeline.ids.length - upTo(random() < 0.7 ? 8 : 100));
        const left = await timeline.session.rewind(timeline.ids.length);
        if (left !== 0 && left !== timeline.ids.length && left > timeline.ids.length) wrong++;
      } else if (kind < 0.18) {
        what = 'save';
        try {
          await timeline.session.save(file);
          saved = [...timeline.ids];
        } catch (error) {
          if ((error as { code: string }).code !== 'KEXA_INVALID_ARGUMENT') throw error;
        }
      } else if (kind < 0.22 && saved !== undefined) {
        what = 'load';
        timelines.push({ session: await model.loadSession(file), ids: [...saved] });
      } else if (kind < 0.26) {
        what = 'new';
        timelines.push({ session: model.createSession(), ids: random() < 0.5 ? [...timeline.ids] : [] });
      } else {
        const prompt = [...timeline.ids, ...randomIds(1 + upTo(random() < 0.1 ? 70 : 9), 200, i)].slice(-150);
        const maxTokens = 1 + upTo(4);
        const mtp = pick<false | 'auto' | number>([false, 'auto', 1, 5]);
        const found = await ask(timeline.session, prompt, { mtp, maxTokens });
        const wanted = await ask(fresh, prompt, { maxTokens });
        cachedTokens += found.cached;
        timeline.ids = [...prompt, ...found.said.answer];
        if (JSON.stringify(found.said) !== JSON.stringify(wanted.said)) {
          wrong++;
          t.deepEqual(
            found.said,
            wanted.said,
            `operation ${i}, ${found.cached} of ${prompt.length} cached, mtp ${mtp}`,
          );
        }
      }
      counts[what] = (counts[what] ?? 0) + 1;
      while (timelines.length > 6) {
        const gone = pick(timelines);
        timelines = timelines.filter((other) => other !== gone);
        await gone.session.close();
      }
    }
    t.equal(wrong, 0, `all are right: ${JSON.stringify(counts)}, ${cachedTokens} tokens were not computed again`);
    t.ok(cachedTokens > 2 * count, 'and many were kept');
  });
}

/** The options `slots` and `cacheTokens`: how many sessions stay cached, and how many tokens of all together. */
import test from 'tape';
import { randomIds } from '../support/compare.js';
import { alone, greedy, open, said } from '../support/session-turns.js';

test('as many sessions as slots stay cached, and one more takes the place of one', async (t) => {
  // Questions to another model take no slot of this one.
  const other = await open(t, 'edge');
  for (const slots of [1, 2, 7]) {
    const model = await open(t, 'edge', { slots });
    const prompts = Array.from({ length: slots + 1 }, (_, i) => randomIds(40, model.config.vocabSize, i + 1));
    const sessions = prompts.map(() => model.createSession());
    const ask = async (i: number) => {
      const found = await sessions[i]!.generate(prompts[i]!, { ...greedy, maxTokens: 4 });
      t.deepEqual(said(found), await alone(other, prompts[i]!, 4), `${slots} slots, session ${i}: answered right`);
      return found.usage.cachedTokens;
    };
    for (let i = 0; i < slots; i++) t.equal(await ask(i), 0);
    for (let i = 0; i < slots; i++) t.equal(await ask(i), 39, `${slots} slots: session ${i} is still cached`);
    t.equal(await ask(slots), 0);
    t.equal(await ask(0), 0, `${slots} slots: the one unused for longest is not`);
  }
});

test('sessions that together are longer than one context stay cached if cacheTokens are enough', async (t) => {
  for (const [cacheTokens, cached] of [
    [256, 0],
    [512, 239],
  ] as const) {
    const model = await open(t, 'two', { contextSize: 256, cacheTokens });
    const prompts = [1, 2].map((seed) => randomIds(240, model.config.vocabSize, seed));
    const wanted = await Promise.all(prompts.map((ids) => alone(model, ids, 3)));
    const sessions = prompts.map(() => model.createSession());
    for (const again of [0, cached])
      for (const [i, session] of sessions.entries()) {
        const found = await session.generate(prompts[i]!, { ...greedy, maxTokens: 3 });
        t.equal(found.usage.cachedTokens, again, `${cacheTokens} tokens: ${again} of session ${i} cached`);
        t.deepEqual(said(found), wanted[i], 'answered right');
      }
  }
});

// More sequences than by default, and more pages than one context has, on SwiftShader.
import test from 'tape';
import { randomIds } from '../support/compare.js';
import { alone, greedy, open } from '../support/session-turns.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

test('six sequences share more pages than one context has, and are answered as on the CPU', async (t) => {
  const options = { contextSize: 192, prefillChunk: 32 };
  const cpu = await open(t, 'edge', options);
  const gpu = await open(t, 'edge', { ...options, device: 'swiftshader', slots: 6, cacheTokens: 6 * 192 });
  const prompts = [130, 20, 140, 70, 135, 128].map((count, i) => randomIds(count, cpu.config.vocabSize, i + 1));
  const sessions = prompts.map(() => gpu.createSession());
  for (const [i, session] of sessions.entries()) {
    const found = await session.generate(prompts[i]!, { ...greedy, maxTokens: 3 });
    t.deepEqual(found.ids, (await alone(cpu, prompts[i]!, 3)).ids, `session ${i}`);
  }
  for (const [i, session] of sessions.entries()) {
    const longer = [...prompts[i]!, 7];
    const found = await session.generate(longer, { ...greedy, maxTokens: 3 });
    t.equal(found.usage.cachedTokens, prompts[i]!.length, `session ${i} is still cached`);
    t.deepEqual(found.ids, (await alone(cpu, longer, 3)).ids, `session ${i} goes on`);
  }
});

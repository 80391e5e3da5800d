/**
 * Turns that are kept by default, on a GPU: a conversation goes on from its last one, and its answer has the same bits.
 */
import test from 'tape';
import type { LoadOptions, Message } from '../../lib/index.js';
import { openModel } from '../support/compare.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

test('a second turn after a long thought goes on from the first prompt, to the bit', async (t) => {
  const options: LoadOptions = { device: 'swiftshader', contextSize: 512, prefillChunk: 16 };
  const said: unknown[] = [];
  for (const kept of [true, false]) {
    const model = await openModel(t, 'tiny', kept ? options : { ...options, prefixCacheBytes: 0 });
    const { weights, cache, scratch, prefixCache, total } = model.memory;
    t.equal(total, weights.total + cache.total + scratch, 'the total is that of the GPU');
    t.equal(prefixCache > 0, kept, 'turns are kept in main memory');
    const session = model.createSession();
    const messages: Message[] = [{ role: 'user', content: 'How do I insert a table of contents? '.repeat(3) }];
    const end = model.tokenizer.tokenToId('</think>')!;
    const thinking = { maxTokens: 60, ignoreEos: true, logitBias: { [end]: Number.NEGATIVE_INFINITY } };
    const first = await session.generate(messages, { temperature: 0, ...thinking });
    messages.push({ role: 'assistant', content: 'Use the menu.', reasoning: first.reasoning });
    messages.push({ role: 'user', content: 'And then?' });
    const { ids, logprobs, usage } = await session.generate(messages, { temperature: 0, maxTokens: 6, logprobs: 2 });
    t.equal(usage.cachedTokens, kept ? first.usage.promptTokens : 0, `${usage.cachedTokens} are cached`);
    said.push({ ids, logprobs });
  }
  t.deepEqual(said[0], said[1], 'tokens and log-probabilities');
});

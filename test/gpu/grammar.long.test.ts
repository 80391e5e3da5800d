/** Constrained answers on a GPU: they keep their grammar, and are the same with any drafts and beside other answers. */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { modelFolder } from '../support/models.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

test('a constrained answer on a GPU is the same with drafts, forced tokens and beside others', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'swiftshader', slots: 3, contextSize: 512 });
  t.teardown(() => model.close());
  const grammar = 'root ::= "{" item{1,3} "}"\nitem ::= ("name" | "other") [0-9]{1,2} ";"';
  const answer = async (mtp: 0 | 3, seed: number) => {
    const options = { temperature: 1.5, thinking: false, maxTokens: 24, seed, mtp };
    const { text, ids } = await model.generate('Hello', seed % 3 === 0 ? options : { ...options, grammar });
    return { text, ids: Array.from(ids) };
  };
  const seeds = [1, 2, 3];
  const expected = [];
  model.grammars.forcesTokens = false;
  for (const seed of seeds) expected.push(await answer(0, seed));
  for (const { text } of expected.slice(0, 2)) t.match(text, /^\{((name|other)[0-9]{1,2};){0,3}/, text);
  model.grammars.forcesTokens = true;
  t.deepEqual(await Promise.all(seeds.map((seed) => answer(3, seed))), expected, 'with 3 drafts, at once');
  t.deepEqual(await Promise.all(seeds.map((seed) => answer(0, seed))), expected, 'without drafts, at once');
});

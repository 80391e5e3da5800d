/**
 * Files of kexa's own quantiser: each type on the CPU, all of them in one model on a software GPU, recipes as
 * `weights`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { type GgufType, ggufTypeNames } from '../../lib/files/gguf/gguf-types.js';
import type { TensorPart } from '../../lib/files/wanted-tensors.js';
import { loadModel } from '../../lib/index.js';
import { byRole, recipes } from '../../lib/plan/recipes.js';
import { quantizeModel } from '../../lib/quantize/quantize-model.js';
import { isWritten } from '../support/block-formats.js';
import { root, temporaryFolder, tiny } from '../support/cli.js';
import { isSame, rowDifference, show } from '../support/compare.js';
import { loadGoldens, modelFolder } from '../support/goldens.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
/** The types that kexa quantises to. */
const types = ggufTypeNames.filter(isWritten);
const { ids } = loadGoldens('tiny').prompts[0]!;
const onGpu = { device: 'swiftshader', contextSize: 64, prefillChunk: 8 };

/** Perplexities of the first tokens of the text of docs/quality.md, by type. */
function ledger(): { tokens: number; perplexity: Map<string, number> } {
  const page = readFileSync(join(root, 'docs/quality.md'), 'utf8');
  const tokens = Number(/\*\*first (\d+)\*\*/.exec(page)![1]);
  const section = page.slice(page.indexOf('## Types')).split('\n## ')[0]!;
  const rows = section.matchAll(/^\| (\w+) \|.*\| ([\d.]+) \|$/gm);
  return { tokens, perplexity: new Map(Array.from(rows, ([, type, figure]) => [type!, Number(figure)])) };
}

test('a file of each type: text, and the perplexity of the ledger', async (t) => {
  const { tokens, perplexity } = ledger();
  const text = readFileSync(join(root, 'bench/texts/help.txt'), 'utf8');
  for (const type of types) {
    const file = join(temporaryFolder(t), `${type}.gguf`);
    await quantizeModel(tiny, file, { recipe: byRole(type, type, 1) });
    await using model = await loadModel(file, { device: 'cpu', contextSize: 512 });
    const answer = await model.generate(ids, { temperature: 0, maxTokens: 4, ignoreEos: true });
    t.equal(answer.ids.length, 4, `${type} says ${JSON.stringify(answer.text)}`);
    const scores = await model.score((await model.tokenizer.encodeAsync(text)).slice(0, tokens));
    const found = Math.exp(-scores.reduce((sum, score) => sum + score, 0) / scores.length);
    const wanted = perplexity.get(type)!;
    t.ok(Math.abs(found / wanted - 1) < 0.001, `${type}: perplexity ${found.toFixed(2)}, in the ledger ${wanted}`);
  }
});

test('every type in one file on the GPU', async (t) => {
  const file = join(temporaryFolder(t), 'mixed.gguf');
  // A layer's attention and shared expert are of one type, its dense FFN and routed experts of another; embedding, head
  // and MTP are left to the recipe's rest.
  const typeOf = (part: TensorPart, name: string): GgufType => {
    const layer = /^layers\.(\d+)\./.exec(name);
    if (layer === null) return 'q8_0';
    const second = part === 'routed' || /\.(gate|up|down)$/.test(name.replace(/\.shared\..*/, ''));
    return types[Number(layer[1]) * 2 + Number(second)]!;
  };
  const { tensors } = await quantizeModel(tiny, file, { recipe: { typeOf, fileType: 1 } });
  t.deepEqual(
    types.filter((type) => !tensors.some((tensor) => tensor.type === type)),
    [],
    'none is missing',
  );
  await using gpu = await loadModel(file, onGpu);
  await using cpu = await loadModel(file, { device: 'cpu', contextSize: 64 });
  const [found, wanted] = [await gpu.forward(ids.slice(0, 8)), await cpu.forward(ids.slice(0, 8))];
  const few = await gpu.replay(Uint32Array.from(ids.slice(0, 8)), 0, 8);
  for (const [how, logits] of Object.entries({ prompt: found.logits, answer: few })) {
    const difference = rowDifference(logits, wanted.logits, gpu.config.vocabSize);
    t.ok(difference < 1e-5, `logits of a${how === 'answer' ? 'n' : ''} ${how} within ${show(difference)} of the CPU's`);
  }
  const [own, other] = [gpu, cpu].map((model) => model.generate(ids, { temperature: 0, maxTokens: 3, mtp: false }));
  t.deepEqual((await own!).ids, (await other!).ids, (await own!).text);
});

test('a recipe as `weights` on the GPU has the bits of the file', async (t) => {
  const file = join(temporaryFolder(t), 'q2.gguf');
  await quantizeModel(tiny, file, { recipe: recipes.q2 });
  const run = async (path: string, options: { weights?: 'q2' }) => {
    await using model = await loadModel(path, { ...onGpu, ...options });
    const { logits, profile } = await model.forward(ids.slice(0, 3), { profile: true });
    t.equal(profile!.bufferBytes, model.memory.total, 'the plan is what was allocated, to the byte');
    return { logits, weights: model.memory.weights.total };
  };
  const [found, wanted] = [await run(tiny, { weights: 'q2' }), await run(file, {})];
  t.ok(isSame(found.logits, wanted.logits), 'logits');
  // The router stays in bf16 where the file has f32.
  t.ok(found.weights <= wanted.weights, `${found.weights} bytes of weights, from the file ${wanted.weights}`);
});

test('edge: bf16 weights held as f32, in rows that are padded, give the same bits', async (t) => {
  const logitsOf = async (weights: 'auto' | 'f32') => {
    await using model = await loadModel(modelFolder('edge'), { ...onGpu, weights });
    return (await model.forward([1, 2, 3])).logits;
  };
  t.ok(isSame(await logitsOf('f32'), await logitsOf('auto')), 'logits');
});

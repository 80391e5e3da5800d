/**
 * The CPU device rules out nearly all tokens of a vocabulary without the whole computation. Tokens and
 * log-probabilities still equal those of the definition, native/checks/plain_sampler.cc, to the bit.
 */
import { createRequire } from 'node:module';
import test from 'tape';
import type { SamplingOptions } from '../../lib/index.js';
import type { NativeGenerateParams } from '../../lib/native.js';
import { samplingOptions } from '../../lib/sampling-options.js';
import { randomNumbers } from '../support/compare.js';

const require = createRequire(import.meta.url);
const { chooseTokens, logprobsOf } = require('../../build/Release/kexa_checks.node') as {
  chooseTokens(
    set: string,
    logits: Float32Array,
    vocab: number,
    options: Record<string, unknown>,
    ids: Uint32Array,
    promptSize: number,
  ): [Int32Array, Int32Array];
  logprobsOf(logits: Float32Array, vocab: number, alternatives: number): [Float32Array, Float32Array];
};
const { instructionSets } = require('../../build/Release/kexa.node') as {
  instructionSets(): { used: string; available: string[] };
};

/** The sizes of vocabularies: K-EXAONE's, and one that no block divides. */
const realVocab = 153_600;
const oddVocab = 1_021;

/** Rows of logits of every shape: those that models give, and those that are hard to cut at one place. */
const shapes: Record<string, (next: () => number, i: number) => number> = {
  'nearly flat': (next) => normal(next) * 0.1,
  'as of random weights': (next) => normal(next),
  'as of a trained model': (next, i) => normal(next) * 2.5 - 3 * Math.log(1 + (i % 50_021)),
  'one nearly certain': (next, i) => (i === 700 ? 30 : normal(next)),
  'all equal': () => -3.5,
  'two values': (next) => (next() < 0.3 ? 2 : 1),
  'few values, many ties': (next) => Math.round(normal(next) * 4) / 4,
  'at both ends of the range': (next, i) => (i % 7 ? normal(next) : i % 2 ? 3e38 : -3e38),
};

const settings: SamplingOptions[] = [
  { temperature: 0 },
  { temperature: 1 },
  { temperature: 1, topP: 0.95 },
  { temperature: 1, topK: 40 },
  { temperature: 1, minP: 0.05 },
  { temperature: 0.6, topK: 1000, topP: 0.9, minP: 0.01 },
  { temperature: 2.5, topP: 0.999 },
  { temperature: 100, topP: 0.5 },
  { temperature: 1e-9, topP: 0.95 },
  { temperature: 0.3, topP: 1e-9 },
  { temperature: 1, topK: 1, topP: 0.5 },
  { temperature: 1, topP: 0.25, minP: 1 },
  { temperature: 1, topK: 700, minP: 1e-30 },
  { temperature: 1, topP: 0.95, repeatPenalty: 1.3, presencePenalty: 0.5, frequencyPenalty: 0.2 },
];

function normal(next: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** Chooses a token. Tokens 0 to 9 are banned, 11 is favoured, and 12 to 20 are in the text. */
function choose(set: string, logits: Float32Array, vocab: number, setting: SamplingOptions, seed: number) {
  const others: Omit<NativeGenerateParams, keyof SamplingOptions> = {
    ...{ logprobs: -1, minTokens: 0, maxTokens: 1, endTokens: new Uint32Array(), seed },
    ...{ profile: false, drafts: 0, keepAt: 0, priority: 0, group: 0, groupSize: 0, grammar: 0, forcesTokens: true },
    biasIds: Uint32Array.from({ length: 11 }, (_, i) => i + Number(i === 10)),
    biasValues: Float32Array.from({ length: 11 }, (_, i) => (i === 10 ? 0.75 : Number.NEGATIVE_INFINITY)),
  };
  const defaults = Object.fromEntries(samplingOptions.map((option) => [option.name, option.default]));
  const options = { ...defaults, ...others, ...setting };
  return chooseTokens(set, logits, vocab, options, Uint32Array.of(12, 13, 13, 14, 15, 20, 20, 20), 4);
}

function rowsOf(shape: string, vocab: number, count: number, seed: number): Float32Array {
  const next = randomNumbers(seed);
  return Float32Array.from({ length: vocab * count }, (_, i) => shapes[shape]!(next, i % vocab));
}

for (const [vocab, count, sets] of [
  [realVocab, 2, [instructionSets().used]],
  [oddVocab, 60, instructionSets().available],
] as const)
  test(`${vocab} tokens, by ${sets.join(', ')}: the choices of the definition`, (t) => {
    for (const [n, shape] of Object.keys(shapes).entries()) {
      const logits = rowsOf(shape, vocab, count, n);
      const wrong: unknown[] = [];
      for (const [seed, setting] of settings.entries())
        for (const set of sets) {
          const [found, wanted] = choose(set, logits, vocab, setting, seed * 1000);
          if (found.join() !== wanted.join()) wrong.push({ set, setting, found: found.join(), wanted: wanted.join() });
        }
      t.deepEqual(wrong, [], `${shape}: ${settings.length} settings, ${count} rows`);
    }
    t.end();
  });

test('the log-probabilities of the definition', (t) => {
  for (const [vocab, count] of [
    [realVocab, 3],
    [oddVocab, 200],
  ] as const)
    for (const [n, shape] of Object.keys(shapes).entries())
      for (const alternatives of [0, 1, 20]) {
        const [found, wanted] = logprobsOf(rowsOf(shape, vocab, count, 50 + n), vocab, alternatives);
        t.deepEqual(found, wanted, `${vocab} tokens, ${shape}, ${alternatives} alternatives`);
      }
  t.end();
});

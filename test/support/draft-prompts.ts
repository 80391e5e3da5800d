/**
 * Drafts change no answer on the CPU: ids, text, finish reason and log-probabilities with 1, 2, 3, 5, 8 and `auto`
 * drafts a step are those without.
 */
import test from 'tape';
import type { GenerateOptions, GenerationResult, Model } from '../../lib/index.js';
import { openModel, randomIds, randomNumbers } from './compare.js';
import { type GoldenName, loadGoldens } from './goldens.js';

const settings = [1, 2, 3, 5, 8, 'auto'] as const;
const prefillChunk = 16;
const endOfTurn = 53;

/** A context holds the ring of the longest window twice or more, so that rows are overwritten, and ends soon after. */
const shapes = {
  tiny: { contextSize: 160, window: 32 },
  wide: { contextSize: 300, window: 128 },
  edge: { contextSize: 100, window: 5 },
  two: { contextSize: 170, window: 64 },
};

interface Case {
  prompt: number[];
  options: GenerateOptions;
  /** Whether the answer is cut short by a text that is in it. */
  isStopped: boolean;
  /** Whether all settings draft in one session, one after the other, or each in one of its own. */
  isInOneSession: boolean;
}

/** Texts the tiny model writes, longer than its context by as much as prompts may begin later. */
async function ownTexts(model: Model): Promise<number[][]> {
  const texts: number[][] = [];
  for (const [seed, { ids }] of loadGoldens('tiny').prompts.entries()) {
    const options: GenerateOptions = { temperature: 1, seed, ignoreEos: true };
    const { ids: answer } = await model.generate(ids, options);
    texts.push([...ids, ...answer]);
  }
  return texts;
}

/** Lengths at which something begins or ends, then any, the short ones oftener. */
function lengths({ contextSize, window }: (typeof shapes)[GoldenName], next: () => number, count: number): number[] {
  const ring = window + prefillChunk - 1;
  const edges = [1, 2, prefillChunk, window - 1, window, window + 1, ring - 3, ring, ring + 1, 2 * ring - 4, 2 * ring];
  const lasts = [1, 2, 5, 9, 14, 20].map((left) => contextSize - left);
  const chosen = [...edges.filter((length) => length < contextSize), ...lasts];
  while (chosen.length < count) chosen.push(1 + Math.floor(next() ** 3 * (contextSize - 1)));
  return chosen;
}

function casesOf(name: GoldenName, count: number, texts: number[][], vocabSize: number): Case[] {
  const shape = shapes[name];
  const next = randomNumbers(shape.window);
  const isTrained = name === 'tiny';
  // The MTP block of random weights guesses nothing; the hotter it is, the more the noise decides, and they agree.
  const heat = isTrained ? 1 : 6;
  const samplings: GenerateOptions[] = [
    { temperature: 0 },
    { temperature: 0.8 * heat, topP: 0.95, minP: 0.02 },
    { temperature: 0, repeatPenalty: 1.3, presencePenalty: 0.5, frequencyPenalty: 0.2 },
    { temperature: 1.2 * heat, topK: 40 },
    { temperature: heat, repeatPenalty: 1.1, repeatLastN: 9, minP: 0.01 },
  ];
  return lengths(shape, next, count).map((length, i) => {
    const text = texts[i % (texts.length || 1)] ?? [];
    const start = Math.floor(next() * Math.max(0, text.length - length));
    const left = shape.contextSize - length;
    return {
      prompt:
        isTrained && i % 4 !== 0 ? text.slice(start, start + length) : randomIds(length, vocabSize, 1000 * length + i),
      options: {
        ...samplings[i % samplings.length],
        seed: i,
        ...(left <= 20 ? {} : { maxTokens: 1 + Math.floor(next() * 16) }),
        ...(i % 3 === 1 ? { logitBias: { [endOfTurn]: isTrained ? 6 : 10 } } : { ignoreEos: true }),
        ...(i % 6 === 0 && { logprobs: 2 }),
      },
      isStopped: isTrained && i % 4 === 1,
      isInOneSession: i % 4 < 2,
    };
  });
}

function told({ ids, text, finishReason, logprobs }: GenerationResult): string {
  return JSON.stringify({ ids, text, finishReason, logprobs });
}

interface Tally {
  differing: string[];
  compared: number;
  ends: Record<'maxTokens' | 'context' | 'endOfTurn' | 'stop', number>;
  accepted: number[];
}

async function compare(model: Model, { prompt, options, ...how }: Case, label: string, tally: Tally): Promise<void> {
  let given = options;
  let plain = await model.generate(prompt, given);
  if (how.isStopped && plain.text.length > 3) {
    const middle = Math.floor(plain.text.length / 2);
    given = { ...options, stop: ['\u0000', plain.text.slice(middle, middle + 2)] };
    plain = await model.generate(prompt, given);
  }
  const isWhole = prompt.length + plain.ids.length === model.contextSize;
  if (plain.finishReason === 'length') tally.ends[isWhole ? 'context' : 'maxTokens']++;
  else tally.ends[plain.ids.at(-1) === endOfTurn ? 'endOfTurn' : 'stop']++;
  const session = model.createSession();
  for (const [place, mtp] of settings.entries()) {
    const drafted = await (how.isInOneSession ? session : model).generate(prompt, { ...given, mtp });
    tally.compared++;
    tally.accepted[place]! += drafted.speculation.accepted;
    if (told(drafted) !== told(plain)) tally.differing.push(`${label}, mtp ${mtp}: ${told(drafted)} ${told(plain)}`);
  }
  await session.close();
}

/**
 * A test of one model with so many prompts, 30 or more: some lengths are at the edges of windows and of the context.
 */
export function testDraftPrompts(name: GoldenName, count: number): void {
  test(`${name}: ${count} prompts have the same answer with every number of drafts`, async (t) => {
    const { contextSize } = shapes[name];
    // Two of one thread each are done sooner than one of two threads.
    const open = () => openModel(t, name, { device: 'cpu', threads: 1, prefillChunk, contextSize });
    const models = await Promise.all([open(), open()]);
    const texts = name === 'tiny' ? await ownTexts(models[0]!) : [];
    const cases = casesOf(name, count, texts, models[0]!.config.vocabSize);
    t.ok(new Set(cases.map(({ prompt }) => prompt.length)).size > 0.3 * count, 'of differing length');

    const ends = { maxTokens: 0, context: 0, endOfTurn: 0, stop: 0 };
    const tally: Tally = { differing: [], compared: 0, ends, accepted: settings.map(() => 0) };
    await Promise.all(
      models.map(async (model, half) => {
        for (const [i, one] of cases.entries())
          if (i % 2 === half) await compare(model, one, `prompt ${i}, ${one.prompt.length} tokens`, tally);
      }),
    );
    t.deepEqual(tally.differing, [], `${tally.compared} answers are those without drafts`);
    t.equal(tally.compared, count * settings.length, 'each prompt with each setting');
    t.ok(ends.maxTokens > 5 && ends.context > 2 && ends.endOfTurn > 2, `they end as they may: ${JSON.stringify(ends)}`);
    if (name === 'tiny') t.ok(ends.stop > 5, 'by a stop text too');
    for (const [place, mtp] of settings.slice(0, -1).entries())
      t.ok(tally.accepted[place]! > count / 2, `${tally.accepted[place]} drafts of mtp ${mtp} were kept`);
  });
}

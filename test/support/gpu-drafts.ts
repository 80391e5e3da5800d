/**
 * Drafts change no answer on a software GPU: answers with 1, 2, 3, 5, 8 or `auto` drafts a step against those without.
 */
import test from 'tape';
import type { GenerateOptions, Session } from '../../lib/index.js';
import { openModel, randomIds, randomNumbers } from './compare.js';
import { type GoldenName, loadGoldens } from './goldens.js';
import { useSoftwareGpu } from './software-gpu.js';

useSoftwareGpu();

/** Prompts of a model; `first` and `longest` are the tokens of the first and the longest prompt. */
export interface DraftShape {
  count: number;
  first: number;
  longest: number;
}

// Many drafts take many rows and steps: 5 and 8 have their turn once, the others two or three times.
const settings = [1, 2, 3, 'auto', 1, 2, 5, 3, 'auto', 1, 2, 8] as const;
/** Drafts that were kept, of all models together. */
const accepted = new Map<number | 'auto', number>();
/** Answers that ended with their turn, of all models together. */
let endedInAll = 0;
const prefillChunk = 16;
const endOfTurn = 53;
const mostTokens = 11;

/** Prompts this far from the end of the context, where it is short, and the drafts a step. */
const atTheEnd = [
  { left: 9, mtp: 8 },
  { left: 7, mtp: 2 },
  { left: 1, mtp: 3 },
] as const;

/** One prompt after the other; each is given the answer to the one before. */
type Prompts = Generator<number[], void, number[]>;

/**
 * A conversation that goes on, and back by a few tokens: a software GPU takes 20 ms a token of a prompt, so each prompt
 * has few that were not in the one before it. When it gets too long, it begins anew.
 */
function* promptsOf(name: GoldenName, { count, first, longest }: DraftShape, vocabSize: number): Prompts {
  const next = randomNumbers(first + count);
  const texts = loadGoldens('tiny').prompts.map(({ ids, greedy }) => [...ids, ...greedy]);
  let timeline: number[] = [];
  for (let i = 0; i < count; i++) {
    if (timeline.length > longest - mostTokens - 3) timeline = [];
    const text = texts[i % texts.length]!;
    const start = Math.floor(next() * (text.length - 4));
    const more = i === 0 ? first : 1 + Math.floor(next() * 3);
    const isText = name === 'tiny' && i % 4 !== 0;
    const prompt = [...timeline, ...(isText ? text.slice(start, start + more) : randomIds(more, vocabSize, i))];
    const answered = [...prompt, ...(yield prompt)];
    timeline = answered.slice(0, Math.max(1, answered.length - Math.floor(next() * 5)));
  }
}

function optionsOf(name: GoldenName, i: number, mtp: (typeof settings)[number]): GenerateOptions {
  // Random weights guess nothing; the hotter it is, the more the noise decides, and drafts are kept.
  const heat = name === 'tiny' ? 1 : 6;
  const samplings: GenerateOptions[] = [
    { temperature: heat, minP: 0.001 },
    { temperature: 0 },
    { temperature: heat, topP: 0.99, repeatPenalty: 1.1, presencePenalty: 0.3 },
    { temperature: 0.8 * heat, topK: 60 },
  ];
  return {
    // Another one each time the same number of drafts has its turn.
    ...samplings[(i + Math.floor(i / settings.length)) % samplings.length],
    seed: i,
    mtp,
    // Enough for all drafts of a step, and now and then a step more.
    maxTokens: (mtp === 'auto' ? 1 : mtp) + 2 + (i % 5 === 0 ? 1 : 0),
    ...(i % 5 === 2 ? { logitBias: { [endOfTurn]: heat === 1 ? 5 : 18 } } : { ignoreEos: true }),
  };
}

/**
 * A test of one model. Two sessions share the cache's pages of 64 tokens, so the context is twice the longest prompt. A
 * model called `edge` also answers to the end of its context.
 */
export function testDrafts(name: GoldenName, shape: DraftShape): void {
  test(`${name}: ${shape.count} prompts have the same tokens with drafts`, async (t) => {
    const { longest, count } = shape;
    const contextSize = 2 * longest;
    const model = await openModel(t, name, { device: 'swiftshader', prefillChunk, contextSize });
    const { vocabSize } = model.config;
    const differing: string[] = [];
    const compare = async (plainly: Session, drafting: Session, prompt: number[], options: GenerateOptions) => {
      const { mtp = false, ...undrafted } = options;
      const plain = await plainly.generate(prompt, undrafted);
      const drafted = await drafting.generate(prompt, options);
      if (drafted.ids.join() !== plain.ids.join() || drafted.finishReason !== plain.finishReason)
        differing.push(`${prompt.length} tokens, ${JSON.stringify(options)}: ${drafted.ids}, wanted ${plain.ids}`);
      if (mtp) accepted.set(mtp, (accepted.get(mtp) ?? 0) + drafted.speculation.accepted);
      return plain;
    };

    const [plainly, drafting] = [model.createSession(), model.createSession()];
    const prompts = promptsOf(name, shape, vocabSize);
    let compared = 0;
    let ended = 0;
    for (let one = prompts.next(); !one.done; compared++) {
      const mtp = settings[compared % settings.length]!;
      const { ids, finishReason } = await compare(plainly, drafting, one.value, optionsOf(name, compared, mtp));
      if (finishReason === 'stop') ended++;
      one = prompts.next(ids);
    }
    t.deepEqual(differing, [], `${compared} answers are those without drafts`);
    t.equal(compared, count);
    t.ok(ended < count / 2, `${ended} end with their turn`);
    endedInAll += ended;
    await plainly.close();
    await drafting.close();

    // One session: its cache is as long as the context. The trained model does so in test gpu/choose.
    if (name !== 'edge') return;
    const session = model.createSession();
    const whole = randomIds(contextSize, vocabSize, 1);
    for (const { left, mtp } of atTheEnd) {
      const prompt = whole.slice(0, contextSize - left);
      const options: GenerateOptions = { temperature: 6, seed: left, ignoreEos: true, mtp };
      const { ids, finishReason } = await compare(session, session, prompt, options);
      t.deepEqual([ids.length, finishReason], [left, 'length'], `the last ${left} tokens of the context`);
    }
    t.deepEqual(differing, [], 'are those without drafts too');
  });
}

/** After all models: drafts of each number in `kept` were kept, and some answers ended with their turn. */
export function testDraftsWereKept(kept: readonly number[]): void {
  test('drafts were kept, and some answers ended with their turn', (t) => {
    t.ok(endedInAll > 0, `${endedInAll} of them`);
    for (const mtp of kept) t.ok(accepted.get(mtp)! > 0, `${accepted.get(mtp)} of mtp ${mtp} kept`);
    t.end();
  });
}

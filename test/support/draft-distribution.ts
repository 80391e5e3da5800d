/**
 * Tests that drafts do not change what is drawn: the first three tokens of many answers, with and without, by
 * chi-square.
 *
 * kexa does not accept drafts by a ratio of probabilities. A token is drawn as argmax(log p + Gumbel noise), where the
 * noise is a function of seed, position and token. A draft is kept if it is the token so drawn. So with one seed the
 * answer is the same with drafts and without, which is more than the same distribution (tested here, in generate/mtp
 * and generate/mtp-prompts). The distribution itself is compared with probabilities computed in float64 from the
 * logits.
 *
 * The level is 0.001 for the 48 statistics of six settings' draws together, so 0.001 / 48 for each.
 */
import test, { type Test } from 'tape';
import type { GenerateOptions, Model, SamplingOptions } from '../../lib/index.js';
import { openModel } from './compare.js';
import { againstEachOther, againstExact, drawFrom, probabilities, uniforms } from './distribution.js';
import { makeRandomModel, writeRandomModel } from './random-model.js';
import { newFolder } from './small-model.js';

const vocab = 12;
const prompt = [5, 6, 7, 1, 9];
/** The normal quantile of 1 - 0.001 / 48. */
const quantile = 4.0981;

/** Opens a model of twelve tokens. None is nearly certain, so three tokens have hundreds of likely values. */
async function openSmall(t: Test): Promise<Model> {
  const shape = {
    vocab_size: vocab,
    hidden_size: 16,
    intermediate_size: 16,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
    num_hidden_layers: 2,
    moe_intermediate_size: 8,
    num_experts: 4,
    layer_types: ['sliding_attention', 'full_attention'],
    sliding_window: 3,
    eos_token_id: 2,
  };
  const made = makeRandomModel(shape, 5);
  const head = made.tensors.get('lm_head.weight')!;
  head.data = head.data.map((weight) => weight / 2);
  const folder = await newFolder(t);
  writeRandomModel(folder, made, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  return openModel(t, folder, { device: 'cpu', threads: 1, contextSize: 32, prefillChunk: 16 });
}

/** Three tokens as one number. */
function cellOf([first, second, third]: readonly number[]): number {
  return (first! * vocab + second!) * vocab + third!;
}

/** Tables of the first, second and third tokens, and of all three together: counts or probabilities. */
function tables(threes: ArrayLike<number>): number[][] {
  const parts: number[][] = [new Array(vocab).fill(0), new Array(vocab).fill(0), new Array(vocab).fill(0)];
  for (let cell = 0; cell < vocab ** 3; cell++)
    for (const [place, power] of [vocab * vocab, vocab, 1].entries())
      parts[place]![Math.floor(cell / power) % vocab]! += threes[cell]!;
  return [...parts, Array.from(threes)];
}

interface Drawn {
  threes: number[];
  drafted: number;
  accepted: number;
}

/**
 * Draws the first three tokens of answers with seeds from `firstSeed` on. The answers are longer, so that all three can
 * be drafts.
 */
async function draw(model: Model, options: GenerateOptions, firstSeed: number, draws: number): Promise<Drawn> {
  const drawn: Drawn = { threes: new Array(vocab ** 3).fill(0), drafted: 0, accepted: 0 };
  let seed = firstSeed;
  const work = async () => {
    const session = model.createSession();
    while (seed < firstSeed + draws) {
      const { ids, speculation } = await session.generate(prompt, { ...options, seed: seed++, ignoreEos: true });
      drawn.threes[cellOf(ids)]!++;
      drawn.drafted += speculation.drafted;
      drawn.accepted += speculation.accepted;
    }
    await session.close();
  };
  await Promise.all([work(), work(), work(), work()]);
  return drawn;
}

/** Probabilities of the model's next token, and of the MTP block's guess at it, after prompt and answer so far. */
interface Predictions {
  model(answer: readonly number[]): number[];
  block(answer: readonly number[]): number[];
}

async function logitsOf(model: Model): Promise<(sampling: SamplingOptions) => Predictions> {
  const rows = new Map<string, { model: Float32Array; block: Float32Array }>();
  for (let first = 0; first < vocab; first++)
    for (let second = 0; second < vocab; second++) {
      const { logits, mtpLogits } = await model.forward([...prompt, first, second], { mtp: true });
      const row = (all: Float32Array, at: number) => all.slice(at * vocab, (at + 1) * vocab);
      for (const answer of [[], [first], [first, second]]) {
        const last = prompt.length + answer.length - 1;
        rows.set(answer.join(), { model: row(logits, last), block: row(mtpLogits!, last - 1) });
      }
    }
  return (sampling) => {
    const known = new Map(
      [...rows].map(([answer, { model, block }]) => [
        answer,
        { model: probabilities(model, sampling), block: probabilities(block, sampling) },
      ]),
    );
    return {
      model: (answer) => known.get(answer.join())!.model,
      block: (answer) => known.get(answer.join())!.block,
    };
  };
}

function exactThrees({ model }: Predictions): number[] {
  return Array.from({ length: vocab ** 3 }, (_, cell) => {
    const [first, second, third] = [Math.floor(cell / vocab / vocab), Math.floor(cell / vocab) % vocab, cell % vocab];
    return model([])[first]! * model([first])[second]! * model([first, second])[third]!;
  });
}

/** Decides about a draft that was drawn from `guessed` if the model's distribution is `wanted`. */
type Rule = (draft: number, wanted: number[], guessed: number[], uniform: () => number) => number;

const isKept: (...args: Parameters<Rule>) => boolean = (draft, wanted, guessed, uniform) =>
  uniform() * guessed[draft]! < wanted[draft]!;

/** Leviathan, Kalman and Matias, "Fast inference from transformers via speculative decoding", 2023, theorem 3.5. */
const rightRule: Rule = (draft, wanted, guessed, uniform) => {
  if (isKept(draft, wanted, guessed, uniform)) return draft;
  const rest = wanted.map((probability, id) => Math.max(0, probability - guessed[id]!));
  return drawFrom(rest, uniform());
};

const wrongRules: Record<string, Rule> = {
  'every draft is kept': (draft) => draft,
  'a draft is kept if the filters leave it': (draft, wanted, _, uniform) =>
    wanted[draft]! > 0 ? draft : drawFrom(wanted, uniform()),
  'after a rejected draft the token is drawn as if there had been none': (draft, wanted, guessed, uniform) =>
    isKept(draft, wanted, guessed, uniform) ? draft : drawFrom(wanted, uniform()),
  'a draft is kept by its own probability alone': (draft, wanted, guessed, uniform) =>
    uniform() < guessed[draft]! ? draft : drawFrom(wanted, uniform()),
  'every tenth draft is kept unseen': (draft, wanted, guessed, uniform) =>
    uniform() < 0.1 ? draft : rightRule(draft, wanted, guessed, uniform),
};

/** Draws as an engine would that drafts one token a step and keeps it by the given rule. */
function simulate({ model, block }: Predictions, rule: Rule, seed: number, draws: number): number[] {
  const uniform = uniforms(seed);
  const threes = new Array<number>(vocab ** 3).fill(0);
  for (let i = 0; i < draws; i++) {
    const answer = [drawFrom(model([]), uniform())];
    while (answer.length < 3) {
      const draft = drawFrom(block(answer), uniform());
      const token = rule(draft, model(answer), block(answer), uniform);
      answer.push(token);
      if (token === draft) answer.push(drawFrom(model(answer.slice(0, 2)), uniform()));
    }
    threes[cellOf(answer)]!++;
  }
  return threes;
}

/** Tests of the settings. Each takes two times `draws` answers. */
export function testDraftDistribution(settings: readonly SamplingOptions[], draws: number): void {
  test(`${draws} draws with three drafts a step are those without, and the probabilities of the logits`, async (t) => {
    const model = await openSmall(t);
    const predictions = await logitsOf(model);
    const places = ['first', 'second', 'third', 'all three'];
    for (const sampling of settings) {
      const plain = await draw(model, { ...sampling, maxTokens: 3 }, 0, draws);
      const drafted = await draw(model, { ...sampling, maxTokens: 5, mtp: 3 }, draws, draws);
      const label = JSON.stringify(sampling);
      t.ok(drafted.accepted > draws / 4, `${label}: ${drafted.accepted} of ${drafted.drafted} drafts were kept`);
      const [ofPlain, ofDrafted] = [tables(plain.threes), tables(drafted.threes)];
      const exact = tables(exactThrees(predictions(sampling)));
      for (const [i, place] of places.entries()) {
        const [apart, off] = [
          againstEachOther(ofDrafted[i]!, ofPlain[i]!, quantile),
          againstExact(ofDrafted[i]!, exact[i]!, quantile),
        ];
        t.ok(apart < 1 && off < 1, `${place}: ${apart.toFixed(2)} and ${off.toFixed(2)} of the limit`);
      }
    }
  });

  test('with one seed the answers are the same, token for token', async (t) => {
    const model = await openSmall(t);
    for (const sampling of settings) {
      const differing: number[] = [];
      for (let seed = 0; seed < 500; seed++) {
        const options = { ...sampling, seed, maxTokens: 12, ignoreEos: true };
        const plain = await model.generate(prompt, options);
        const drafted = await model.generate(prompt, { ...options, mtp: 3 });
        if (plain.ids.join() !== drafted.ids.join()) differing.push(seed);
      }
      t.deepEqual(differing, [], `${JSON.stringify(sampling)}: 500 seeds`);
    }
  });

  test('a wrong rule of what is kept is found by these statistics, and a right one is not', async (t) => {
    const model = await openSmall(t);
    const predictions = await logitsOf(model);
    const worst = (drawn: number[], other: number[], compare: typeof againstExact) => {
      const others = tables(other);
      return Math.max(...tables(drawn).map((table, i) => compare(table, others[i]!, quantile)));
    };
    for (const [i, sampling] of settings.entries()) {
      const predicted = predictions(sampling);
      const exact = exactThrees(predicted);
      const right = simulate(predicted, rightRule, i, draws);
      const other = simulate(predicted, rightRule, 100 + i, draws);
      const label = JSON.stringify(sampling);
      const ratio = worst(right, exact, againstExact);
      t.ok(ratio < 1 && worst(right, other, againstEachOther) < 1, `${label}: the right rule, ${ratio.toFixed(2)}`);
      for (const [name, rule] of Object.entries(wrongRules)) {
        const wrong = simulate(predicted, rule, 200 + i, draws);
        const [off, apart] = [worst(wrong, exact, againstExact), worst(wrong, right, againstEachOther)];
        t.ok(off > 1 && apart > 1, `${name}: ${off.toFixed(2)} and ${apart.toFixed(2)} of the limit`);
      }
    }
  });
}

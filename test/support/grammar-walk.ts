/** Random texts of grammars, made without a model: each next token is drawn from those that the grammar allows. */
import { seededRandom } from '../../lib/random.js';
import type { GrammarEngine, GrammarFormat } from '../../lib/text/grammar/grammar.js';
import { XGrammarEngine, xgrammarFile } from '../../lib/text/grammar/xgrammar.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { modelFolder } from './models.js';

/** A grammar engine with a model's vocabulary, in this thread. */
export class GrammarWalker {
  readonly tokenizer: Tokenizer;
  readonly #engine: GrammarEngine;
  readonly #end: number;
  /** Whether each token consists of brackets and quotes that close. */
  readonly #closes: boolean[];

  private constructor(tokenizer: Tokenizer, engine: GrammarEngine, end: number) {
    this.tokenizer = tokenizer;
    this.#engine = engine;
    this.#end = end;
    const texts = Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.decode([id]));
    this.#closes = texts.map((text) => /^[\]}"]+$/.test(text));
  }

  static async open(): Promise<GrammarWalker> {
    const tokenizer = await Tokenizer.open(modelFolder('tiny'));
    const end = tokenizer.tokenToId('<|endofturn|>')!;
    const { bytes, starts, banned } = tokenizer.vocabulary([]);
    const engine = await XGrammarEngine.open(xgrammarFile()!, {
      bytes,
      starts,
      banned: banned.filter((id) => id !== end),
      ends: [end],
      size: tokenizer.vocabSize,
    });
    return new GrammarWalker(tokenizer, engine, end);
  }

  /**
   * Random texts of a grammar. From token `hurry` on, a walk takes the end where it may, and else tokens with which
   * brackets close. A walk that has not ended after `most` tokens gives no text.
   */
  async texts(format: GrammarFormat, count: number, seed: number, { hurry = 60, most = 400 } = {}): Promise<string[]> {
    const grammar = await this.#engine.compile(format);
    const random = seededRandom(seed);
    const found: string[] = [];
    for (let i = 0; i < count; i++) {
      const ids = await this.#walk(await grammar.start(), random, hurry, most);
      if (ids !== null) found.push(this.tokenizer.decode(ids));
    }
    grammar.dispose();
    return found;
  }

  async #walk(
    matcher: Awaited<ReturnType<Awaited<ReturnType<GrammarEngine['compile']>>['start']>>,
    random: () => number,
    hurry: number,
    most: number,
  ): Promise<number[] | null> {
    const ids: number[] = [];
    try {
      while (ids.length < most) {
        const mask = await matcher.mask();
        const allowed: number[] = [];
        for (let id = 0; id < this.tokenizer.vocabSize; id++) if ((mask[id >>> 5]! >>> (id & 31)) & 1) allowed.push(id);
        if (allowed.length === 0) throw new Error(`no token is allowed after ${this.tokenizer.decode(ids)}`);
        const isEnd = allowed.includes(this.#end) && (ids.length >= hurry || random() < 0.3);
        if (isEnd) return ids;
        const text = allowed.filter((id) => id !== this.#end);
        const closing = text.filter((id) => this.#closes[id]);
        // Tokens of letters are many, so structure would be rare if all tokens were alike.
        const from = (ids.length >= hurry || random() < 0.15) && closing.length > 0 ? closing : text;
        const next = from[Math.floor(random() * from.length)] ?? this.#end;
        if (next === this.#end) return ids;
        if (!matcher.accept(next)) throw new Error(`token ${next} is in the mask and is refused`);
        ids.push(next);
      }
      return null;
    } finally {
      matcher.dispose();
    }
  }
}

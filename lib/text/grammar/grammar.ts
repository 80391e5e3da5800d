/** The interface of a grammar engine. The worker uses no other, so that another engine can replace this one. */

/** A grammar as the engine takes it. Parts follow each other, or stand beside each other as alternatives. */
export type GrammarFormat =
  /** A grammar in EBNF, whose rule `root` is the text. */
  | { type: 'grammar'; grammar: string }
  /** Any text that has no end of the part around it. */
  | { type: 'any_text' }
  | { type: 'const_string'; value: string }
  | { type: 'sequence'; elements: GrammarFormat[] }
  | { type: 'or'; elements: GrammarFormat[] }
  | GrammarTag
  /** Any text, in which the triggers begin tags. */
  | { type: 'triggered_tags'; triggers: string[]; tags: GrammarTag[]; at_least_one: boolean; stop_after_first: boolean }
  | {
      type: 'tags_with_separator';
      tags: GrammarTag[];
      separator: string;
      at_least_one: boolean;
      stop_after_first: boolean;
    };

/** A part with a text before it and one behind it. */
export interface GrammarTag {
  type: 'tag';
  begin: string;
  content: GrammarFormat;
  end: string;
}

/** The tokens that a grammar's texts are made of. */
export interface GrammarVocabulary {
  /** The bytes of all tokens by id, one after another; token i is `bytes` from `starts[i]` up to `starts[i + 1]`. */
  bytes: Uint8Array;
  starts: Uint32Array;
  /** Tokens that no text may have. */
  banned: readonly number[];
  /** Tokens that end the text. */
  ends: readonly number[];
  /** The number of the model's logits, which may be more than there are tokens. */
  size: number;
}

/** Makes grammars ready for a vocabulary. */
export interface GrammarEngine {
  /** Throws an Error that says what is wrong with the grammar. */
  compile(format: GrammarFormat): Promise<Grammar>;
}

/** A grammar that is ready. */
export interface Grammar {
  /** A matcher at the start of a text. */
  start(): Promise<GrammarMatcher>;
  dispose(): void;
}

/** The state of one text. */
export interface GrammarMatcher {
  /** A bit for each token that may come next [vocab / 32]: token 0 is the lowest bit of word 0. */
  mask(): Promise<Uint32Array>;
  /** Takes the next token. False if the grammar does not allow it. */
  accept(token: number): boolean;
  /** Forgets the last `tokens` tokens. */
  rollBack(tokens: number): void;
  dispose(): void;
}

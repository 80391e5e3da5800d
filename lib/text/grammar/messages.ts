/** The messages between the main thread and the grammar worker. */
import type { GrammarFormat, GrammarVocabulary } from './grammar.js';

/** A grammar by its number. */
export interface NumberedGrammar {
  id: number;
  format: GrammarFormat;
  /** Tokens that no text of this grammar may have, besides those that the vocabulary bans. */
  banned: readonly number[];
}

/** `workerData` of the worker. */
export interface WorkerStart {
  /** The package's file. */
  file: string;
  vocabulary: GrammarVocabulary;
  /** The number of the engine's port. */
  port: number;
  /** Grammars that were compiled before, by a worker that was lost. */
  grammars: NumberedGrammar[];
}

export type ToWorker = ({ kind: 'compile' } & NumberedGrammar) | { kind: 'forget'; id: number };

export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'compiled'; id: number }
  /** `message` says what is wrong with the grammar. */
  | { kind: 'failed'; id: number; message: string };

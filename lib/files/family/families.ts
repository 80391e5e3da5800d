/** The families that this version runs. A new one is a file beside this one and an entry here. */
import { exaone3 } from './exaone3.js';
import { exaone4 } from './exaone4.js';
import { exaone45 } from './exaone45.js';
import type { Family } from './family.js';
import { kExaone } from './k-exaone.js';

export const families: readonly Family[] = [kExaone, exaone4, exaone45, exaone3];

/**
 * The tokens that end a turn in any family's chat templates. A GGUF file's architecture does not tell which is its own.
 */
export const turnEnds: readonly string[] = [...new Set(families.map(({ turnEnd }) => turnEnd))];

/** The family of a model type. Undefined: this version runs no such model. */
export function familyOf(modelType: string): Family | undefined {
  return (
    families.find((family) => family.modelType === modelType) ??
    families.find(({ part }) => part?.types.includes(modelType))
  );
}

/** The family of a model that was read, and so is one of {@link families}. */
export function knownFamily(modelType: string): Family {
  return familyOf(modelType)!;
}

/** A list for a message: `a, b and c`. */
export function listedWith(word: 'and' | 'or', names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`;
}

/** Chooses the type of each tensor by its role in the model and the length of its rows. */
import { blockTypes, type GgufType } from '../files/gguf/gguf-types.js';
import type { TensorPart } from '../files/wanted-tensors.js';
import type { RecipeName } from '../types.js';

/** The types of a model's matrices. The router, norms and the correction bias are always f32. */
export interface Recipe {
  /** The type wanted for a matrix of the core's name and part. */
  typeOf: (part: TensorPart, name: string) => GgufType;
  /** `general.file_type`, which other tools show. */
  fileType: number;
}

/**
 * A recipe with two types. `routed` is for the routed experts: they are nearly all of a large model, and a token reads
 * few of them. `rest` is for everything else (embedding, head, attention, dense FFNs, shared experts, the MTP block):
 * it is little, and every token reads it.
 */
export function byRole(routed: GgufType, rest: GgufType, fileType: number): Recipe {
  return { typeOf: (part) => (part === 'routed' ? routed : rest), fileType };
}

export const recipes: Readonly<Record<RecipeName, Recipe>> = {
  q8: byRole('q8_0', 'q8_0', 7),
  q4: byRole('q4_k', 'q8_0', 15),
  q2k: byRole('q2_k', 'q8_0', 10),
  // The most that a card of 80 GB holds beside a cache of 262,144 tokens in 16 bits: the 236B then takes 78.0 GiB.
  q2: byRole('iq2_xxs', 'q8_0', 19),
};

/** Recipes of files alone: every matrix in one type, to compare engines by. */
export const uniformRecipes: Readonly<Record<'f16' | 'q4_k', Recipe>> = {
  f16: byRole('f16', 'f16', 1),
  q4_k: byRole('q4_k', 'q4_k', 14),
};

/** The type taken instead if a row's length is no multiple of 256. llama.cpp's quantiser chooses the same. */
const smallBlocks: Partial<Record<GgufType, GgufType>> = {
  q2_k: 'iq4_nl',
  q3_k: 'iq4_nl',
  q4_k: 'q5_0',
  q5_k: 'q5_1',
  q6_k: 'q8_0',
  iq2_xxs: 'iq4_nl',
  iq2_xs: 'iq4_nl',
  iq3_xxs: 'iq4_nl',
  iq4_xs: 'iq4_nl',
};

/** The type of a tensor, and the type that was wanted if the tensor's rows do not fit that one. */
export interface ChosenType {
  type: GgufType;
  instead: GgufType | null;
}

/** The type in which `recipe` stores the tensor that the core calls `name`. */
export function chooseType(recipe: Recipe, part: TensorPart, name: string, shape: readonly number[]): ChosenType {
  if (shape.length < 2 || part === 'router' || name.endsWith('.router')) return { type: 'f32', instead: null };
  const wanted = recipe.typeOf(part, name);
  const fits = (type: GgufType) => shape.at(-1)! % blockTypes[type].elements === 0;
  if (fits(wanted)) return { type: wanted, instead: null };
  const smaller = smallBlocks[wanted];
  return { type: smaller !== undefined && fits(smaller) ? smaller : 'f16', instead: wanted };
}

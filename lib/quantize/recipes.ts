/** Which type each tensor is stored in: by its role in the model, and by the length of its rows. */
import type { QuantizedType } from '../description.js';
import { blockTypes, type GgufType } from '../files/gguf-types.js';
import type { TensorPart } from '../files/wanted-tensors.js';

/** How small a model is made. */
export type RecipeName = 'q8' | 'q4' | 'q2';

/** What the matrices of a model are stored in. The router, norms and the correction bias are always f32. */
export interface Recipe {
  /** The routed experts: nearly all of a large model, of which a token reads a few. */
  routed: QuantizedType;
  /** Embedding, head, attention, dense FFNs, shared experts and the MTP block: little, and read by every token. */
  rest: QuantizedType;
  /** `general.file_type`, which other tools show. */
  fileType: number;
}

export const recipes: Readonly<Record<RecipeName, Recipe>> = {
  q8: { routed: 'q8_0', rest: 'q8_0', fileType: 7 },
  q4: { routed: 'q4_k', rest: 'q8_0', fileType: 15 },
  q2: { routed: 'q2_k', rest: 'q8_0', fileType: 10 },
};

/**
 * What is taken instead where a row is no whole number of 256: the choice of llama.cpp's quantiser, but for q5_k, whose
 * q5_1 kexa does not make.
 */
const smallBlocks: Partial<Record<GgufType, GgufType>> = {
  q2_k: 'iq4_nl',
  q3_k: 'iq4_nl',
  q4_k: 'q5_0',
  q5_k: 'q8_0',
  q6_k: 'q8_0',
  iq4_xs: 'iq4_nl',
};

/** The type of a tensor, and the one that was wanted for it where its rows do not fit that. */
export interface ChosenType {
  type: GgufType;
  instead: GgufType | null;
}

/** What `recipe` stores a tensor of the core's `name` in. */
export function chooseType(recipe: Recipe, part: TensorPart, name: string, shape: readonly number[]): ChosenType {
  if (shape.length < 2 || part === 'router' || name.endsWith('.router')) return { type: 'f32', instead: null };
  const wanted = part === 'routed' ? recipe.routed : recipe.rest;
  const fits = (type: GgufType) => shape.at(-1)! % blockTypes[type].elements === 0;
  if (fits(wanted)) return { type: wanted, instead: null };
  const smaller = smallBlocks[wanted];
  return { type: smaller !== undefined && fits(smaller) ? smaller : 'f16', instead: wanted };
}

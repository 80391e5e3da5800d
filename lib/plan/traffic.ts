/** Counts the least that computing tokens takes: bytes read from memory, each once a step, and operations. */
import type { ModelDescription, TensorEntry } from '../description.js';
import { elementsOf } from '../files/wanted-tensors.js';
import type { StepCounts, WeightType } from '../types.js';
import { heldBytes } from './option-values.js';

/**
 * The bytes that a token reads, by purpose.
 *
 * @example
 * const [result] = await benchmark('models/tiny', { tests: [{ prompt: 0, generated: 32, depth: 0, mtp: false }] });
 * console.log(`${result!.bytes_per_token!.experts} of ${result!.bytes_per_token!.total} bytes a token are experts'`);
 */
export interface TokenTraffic {
  /** Projections of the attention. */
  attention: number;
  /** The chosen and the shared experts, dense FFNs, and the routers. */
  experts: number;
  /** The output head. */
  head: number;
  /** Keys and values: as many as the window lets a layer see. */
  kv: number;
  /** The MTP block, its reading of the head included. */
  mtp: number;
  /** Norms, the routers' bias, and the token's row of the embedding. */
  other: number;
  total: number;
}

/** A model's parts (bytes or elements). `routed` is the mean of one expert of one layer. */
export interface ModelParts {
  attention: number;
  /** Dense FFNs, shared experts, routers: what every token goes through. */
  dense: number;
  routed: number;
  moeLayers: number;
  head: number;
  /** The part of the MTP block that one token reads. */
  mtp: number;
  other: number;
}

/** Adds up `measure` of the tensors. */
export function partsOf(
  { tensors, tiedHead, moe, vocabSize, layers, mtp }: ModelDescription,
  measure: (tensor: TensorEntry) => number,
): ModelParts {
  const parts = { attention: 0, dense: 0, routed: 0, moeLayers: 0, head: 0, mtp: 0, other: 0 };
  const chosen = moe === null ? 0 : moe.topK / moe.experts;
  for (const tensor of tensors) {
    const { name } = tensor;
    const size = measure(tensor);
    const isRouted = /\.experts\.\d+\./.test(name);
    if (name === (tiedHead ? 'embed' : 'head')) parts.head += size;
    if (name === 'embed') parts.other += size / vocabSize;
    else if (name.startsWith('mtp.')) parts.mtp += isRouted ? size * chosen : size;
    else if (name === 'head') continue;
    else if (/\.(q|k|v|o)$/.test(name)) parts.attention += size;
    else if (isRouted) parts.routed += size;
    else if (/\.(router|gate|up|down)$/.test(name)) parts.dense += size;
    else parts.other += size;
  }
  parts.moeLayers = layers.filter(({ ffn }) => ffn === 'moe').length;
  if (parts.moeLayers > 0) parts.routed /= parts.moeLayers * moe!.experts;
  if (mtp === null) parts.mtp = 0;
  return parts;
}

/**
 * The bytes that a token at `position` (0 is the first) reads in a step of its own, without drafts.
 *
 * @param parts the model's parts as they are held (bytes)
 * @param cacheBytes size of one element of the KV cache
 */
export function tokenTraffic(
  description: ModelDescription,
  parts: ModelParts,
  position: number,
  cacheBytes: number,
): TokenTraffic {
  const { attention, dense, routed, moeLayers, head, other } = parts;
  return total({
    attention,
    experts: dense + routed * moeLayers * (description.moe?.topK ?? 0),
    head,
    kv: keysSeen(description, position, 1) * kvRowBytes(description, cacheBytes),
    mtp: 0,
    other,
  });
}

/** Bytes of weights that a step of one row reads without the MTP block, for a model loaded with `weights`. */
export function weightBytesPerToken(description: ModelDescription, weights: WeightType): number {
  const parts = partsOf(description, (tensor) => heldBytes(tensor, weights));
  const { total, kv } = tokenTraffic(description, parts, 0, 0);
  return total - kv;
}

/**
 * The bytes read for each of `tokens` tokens by the steps that made them. Rows of a step share their reading, experts
 * are those that the routers chose, and drafts that were not kept count too.
 *
 * @param first the position of the first step's first row
 * @param last the position of the last step's last row
 */
export function readTraffic(
  description: ModelDescription,
  parts: ModelParts,
  counts: StepCounts,
  { first, last, tokens, heads }: { first: number; last: number; tokens: number; heads: number },
  cacheBytes: number,
): TokenTraffic {
  const { steps, rows, experts, mtpPasses, draftHeads } = counts;
  const each = (size: number) => size / tokens;
  // Steps are much alike, so that the keys seen by one in the middle stand for all.
  const step = rows / steps;
  const keys = keysSeen(description, (first + last) / 2 + (step - 1) / 2, step);
  return total({
    attention: each(parts.attention * steps),
    experts: each(parts.dense * steps + parts.routed * experts),
    head: each(parts.head * (heads + draftHeads)),
    kv: each(keys * steps * kvRowBytes(description, cacheBytes)),
    mtp: each(parts.mtp * mtpPasses),
    other: each(parts.other * steps),
  });
}

/**
 * Operations of a token, a product and a sum being two: products with the weights it goes through and with the keys and
 * values it sees, at the mean of `positions`. The head is counted in the part of the rows that need logits.
 *
 * @param parts in elements
 */
export function tokenOperations(
  { heads, headDim, moe, ...description }: ModelDescription,
  parts: ModelParts,
  positions: { first: number; last: number },
  logitPart: number,
): number {
  const { attention, dense, routed, moeLayers, head } = parts;
  const weights = attention + dense + routed * moeLayers * (moe?.topK ?? 0) + head * logitPart;
  const keys =
    (keysSeen(description, positions.first, 1) +
      2 * keysSeen(description, (positions.first + positions.last) / 2, 1) +
      keysSeen(description, positions.last, 1)) /
    4;
  return 2 * weights + 4 * keys * heads * headDim;
}

/** The size of the keys and values of a sequence (bytes). */
export function kvBytes(description: ModelDescription, tokens: number, cacheBytes: number, withMtp: boolean): number {
  const layers = withMtp && description.mtp !== null ? [...description.layers, description.mtp] : description.layers;
  const rows = layers.reduce((sum, { window }) => sum + (window === 0 ? tokens : Math.min(window, tokens)), 0);
  return rows * kvRowBytes(description, cacheBytes);
}

/** The number of a tensor's elements, for {@link partsOf}. */
export function elementCount({ shape }: TensorEntry): number {
  return elementsOf(shape);
}

/** The number of keys that the `rows` rows up to `position` see, all layers together. */
function keysSeen({ layers }: Pick<ModelDescription, 'layers'>, position: number, rows: number): number {
  return layers.reduce(
    (sum, { window }) => sum + (window === 0 ? position + 1 : Math.min(window + rows - 1, position + 1)),
    0,
  );
}

/** The size of one token's key and value in one layer (bytes). */
function kvRowBytes({ kvHeads, headDim }: ModelDescription, cacheBytes: number): number {
  return 2 * kvHeads * headDim * cacheBytes;
}

function total(parts: Omit<TokenTraffic, 'total'>): TokenTraffic {
  return { ...parts, total: Object.values(parts).reduce((sum, part) => sum + part, 0) };
}

/** What computing tokens takes at the least: bytes read from memory, each once a step, and products. */
import type { ModelDescription, TensorEntry } from '../description.js';
import { elementsOf } from '../files/wanted-tensors.js';
import type { StepCounts } from '../types.js';

/**
 * Bytes a token reads, by what they are for.
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
  /** The MTP block; its part of the head counts there. */
  mtp: number;
  /** Norms, the routers' bias, and the token's row of the embedding. */
  other: number;
  total: number;
}

/** A model's parts, in bytes or in elements; `routed` is one expert of one layer, the mean. */
export interface ModelParts {
  attention: number;
  /** Dense FFNs, shared experts, routers: what every token goes through. */
  dense: number;
  routed: number;
  moeLayers: number;
  head: number;
  /** As much of the block as one token reads. */
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
 * What a token at `position` (0 is the first) reads without drafts: rows of one token alone, nothing read twice.
 *
 * @param parts in bytes, as they are held
 * @param cacheBytes of one element of the KV cache
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

/**
 * What each of `tokens` tokens read in the steps that made them, with the experts that routers chose in them: rows of a step
 * share what they read, and drafts that were not kept have read too.
 *
 * @param first position of the first step's first row
 * @param last position of the last step's last row
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

/** Bytes of keys and values that are needed for a sequence of so many tokens. */
export function kvBytes(description: ModelDescription, tokens: number, cacheBytes: number, withMtp: boolean): number {
  const layers = withMtp && description.mtp !== null ? [...description.layers, description.mtp] : description.layers;
  const rows = layers.reduce((sum, { window }) => sum + (window === 0 ? tokens : Math.min(window, tokens)), 0);
  return rows * kvRowBytes(description, cacheBytes);
}

/** Elements of a tensor, for {@link partsOf}. */
export function elementCount({ shape }: TensorEntry): number {
  return elementsOf(shape);
}

/** Keys that the `rows` rows up to `position` see, all layers together. */
function keysSeen({ layers }: Pick<ModelDescription, 'layers'>, position: number, rows: number): number {
  return layers.reduce(
    (sum, { window }) => sum + (window === 0 ? position + 1 : Math.min(window + rows - 1, position + 1)),
    0,
  );
}

/** Of one layer's key and value of one token. */
function kvRowBytes({ kvHeads, headDim }: ModelDescription, cacheBytes: number): number {
  return 2 * kvHeads * headDim * cacheBytes;
}

function total(parts: Omit<TokenTraffic, 'total'>): TokenTraffic {
  return { ...parts, total: Object.values(parts).reduce((sum, part) => sum + part, 0) };
}

/** What one token must read from memory, the least there is: weights once, and the keys and values that it sees. */
import type { ModelDescription, TensorEntry } from '../description.js';

/** Bytes a decoded token reads, by what they are for. */
export interface TokenTraffic {
  /** Projections of the attention. */
  attention: number;
  /** The chosen and the shared experts, dense FFNs, and the routers. */
  experts: number;
  /** The output head. */
  head: number;
  /** Keys and values: as many as the window lets a layer see. */
  kv: number;
  total: number;
}

/**
 * What a token at `position` (0 is the first) reads without drafts: rows of one token alone, nothing read twice.
 *
 * @param cacheBytes of one element of the KV cache
 * @param stored how many bytes a tensor takes as it is held
 */
export function tokenTraffic(
  description: ModelDescription,
  position: number,
  cacheBytes: number,
  stored: (tensor: TensorEntry) => number,
): TokenTraffic {
  const traffic = { attention: 0, experts: 0, head: 0, kv: 0, total: 0 };
  const { layers, moe, kvHeads, headDim, tiedHead } = description;
  for (const tensor of description.tensors) {
    const { name } = tensor;
    // One row of the embedding is nothing, unless it is the head as well.
    if (name === (tiedHead ? 'embed' : 'head')) traffic.head += stored(tensor);
    if (!name.startsWith('layers.')) continue;
    if (/\.(q|k|v|o)$/.test(name)) traffic.attention += stored(tensor);
    else if (/\.experts\.\d+\./.test(name)) traffic.experts += (stored(tensor) * moe!.topK) / moe!.experts;
    else if (/\.(router|gate|up|down)$/.test(name)) traffic.experts += stored(tensor);
  }
  for (const { window } of layers) {
    const keys = window === 0 ? position + 1 : Math.min(window, position + 1);
    traffic.kv += keys * 2 * kvHeads * headDim * cacheBytes;
  }
  traffic.total = traffic.attention + traffic.experts + traffic.head + traffic.kv;
  return traffic;
}

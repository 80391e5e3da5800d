/** Counts a model's weights from its shape alone. */
import type { ModelShape } from '../description.js';
import { elementsOf, type TensorPart, wantedTensors } from './wanted-tensors.js';

export interface ParameterCount {
  /** All weights, the MTP block included; a tied head counts once. */
  total: number;
  mtp: number;
  /**
   * Parameters that one token's forward pass multiplies by: attention with its q and k norms, the dense FFNs, the
   * routers, the chosen and the shared experts, and the head. Left out, as in LG's figures: the embedding table, of
   * which a token reads one row, the layers' norms, the final norm and the routers' correction biases.
   */
  active: number;
}

export function countParameters(shape: ModelShape): ParameterCount {
  const parts: Record<TensorPart, number> = {
    embedding: 0,
    attention: 0,
    router: 0,
    routed: 0,
    ffn: 0,
    head: 0,
    norm: 0,
    mtp: 0,
  };
  for (const tensor of wantedTensors(shape)) parts[tensor.part] += elementsOf(tensor.shape);
  const total = Object.values(parts).reduce((sum, part) => sum + part, 0);
  const chosen = shape.moe === null ? 0 : (parts.routed / shape.moe.experts) * shape.moe.topK;
  const head = shape.tiedHead ? parts.embedding : parts.head;
  return { total, mtp: parts.mtp, active: parts.attention + parts.router + chosen + parts.ffn + head };
}

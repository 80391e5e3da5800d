/** How a quantiser asks for the KV cache to be stored. kexa keeps a cache of its own, so this is told and left out. */
import type { ConfigFields } from './config-fields.js';
import { isJsonObject, shown } from './json-file.js';
import type { Checkpoint } from './shards.js';

/** The field of `quantization_config`. */
export const cacheScheme = 'kv_cache_scheme';

/** Scales of the keys, values and queries that such a cache would round, where llm-compressor and modelopt put them. */
const cacheScales = /\.self_attn\.(?:[kv]_proj\.)?[qkv]_(?:scale|zero_point)$|\.self_attn\.[kv]_proj\.output_scale$/;

/** The cache that `quantization_config` asks for, for a message. Null if it does not say. */
export function readCacheScheme(config: ConfigFields): string | null {
  const quantization = config.raw('quantization_config');
  const scheme = isJsonObject(quantization) ? quantization[cacheScheme] : null;
  if (scheme === undefined || scheme === null) return null;
  if (!isJsonObject(scheme))
    throw config.bad(`quantization_config.${cacheScheme}: wanted an object, found ${shown(scheme)}`);
  const { num_bits: bits, type } = scheme;
  return typeof bits === 'number' && typeof type === 'string' ? `${bits}-bit ${type}` : shown(scheme);
}

/** The checkpoint without a use for the scales of a cache, and how many there are. */
export function withoutCacheScales(checkpoint: Checkpoint): { checkpoint: Checkpoint; scales: number } {
  const tensors = new Map(checkpoint.tensors);
  let scales = 0;
  for (const [name, tensor] of tensors) {
    if (tensor.use !== 'model' || !cacheScales.test(name)) continue;
    tensors.set(name, { ...tensor, use: 'none' });
    scales++;
  }
  return { checkpoint: { ...checkpoint, tensors }, scales };
}

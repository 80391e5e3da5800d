/** Files beside config.json in which older tools wrote what is now its `quantization_config`. */
import { join } from 'node:path';
import { isJsonObject, type JsonObject, largestConfigBytes, readOptionalJsonObject } from '../json-file.js';

/** The files, each with the `quantization_config` that its content stands for. */
const files: Readonly<Record<string, (content: JsonObject) => JsonObject>> = {
  'hf_quant_config.json': ({ producer, quantization }) => {
    const { kv_cache_quant_algo: cache = null, ...others } = isJsonObject(quantization) ? quantization : {};
    const scheme = cache === 'FP8' ? { num_bits: 8, type: 'float' } : cache;
    return { quant_method: 'modelopt', producer, ...others, kv_cache_scheme: scheme };
  },
  'quantize_config.json': (content) => ({ quant_method: 'gptq', ...content }),
  'quant_config.json': ({ w_bit, q_group_size, ...others }) => ({
    quant_method: 'awq',
    bits: w_bit,
    group_size: q_group_size,
    ...others,
  }),
};

/**
 * The content of a folder's config.json, with the `quantization_config` of another file if it has none of its own.
 * `notes` then gets a line.
 *
 * @throws KexaError KEXA_BAD_FILE for such a file that is no JSON object.
 */
export async function withQuantization(folder: string, config: JsonObject, notes: string[]): Promise<JsonObject> {
  const isTold = [config, config.text_config].some(
    (part) => isJsonObject(part) && isJsonObject(part.quantization_config),
  );
  if (isTold) return config;
  for (const [name, read] of Object.entries(files)) {
    const content = await readOptionalJsonObject(join(folder, name), largestConfigBytes);
    if (content === null) continue;
    notes.push(`quantization_config: none, so that of ${name} is taken`);
    return { ...config, quantization_config: read(content) };
  }
  return config;
}

/** A model of a config's shape whose weights are made up where it is loaded: no file, and text that means nothing. */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { TensorEntry } from '../description.js';
import { readConfig } from '../files/config.js';
import { blockBytes } from '../files/gguf/gguf-types.js';
import { fileError, readJsonObject } from '../files/json-file.js';
import { type ModelFolder, modelConfig } from '../files/model-folder.js';
import { elementsOf, wantedTensors } from '../files/wanted-tensors.js';
import { choiceOption, integerOption } from '../options.js';
import type { WeightType } from '../types.js';
import { isRecipe, uniformType, weightTypes } from './option-values.js';
import { chooseType, recipes } from './recipes.js';

/** The part of a config's model that is loaded with made-up weights. */
export interface SyntheticOptions {
  /** The number of layers to keep, from the first on. Default: all. */
  layers?: number;
  /** Whether the MTP block is loaded, if the model has one. Default false. */
  mtp?: boolean;
}

/**
 * Reads a config: `path` is the JSON file, or the folder of a config.json. Matrices are stored as `weights` says
 * (`auto` is bf16), with a recipe's types as `kexa quantize` would.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_BAD_FILE, KEXA_BAD_CONFIG, KEXA_UNSUPPORTED; KEXA_INVALID_ARGUMENT for more
 *   layers than there are.
 */
export async function openSynthetic(
  path: string,
  { layers, mtp = false }: SyntheticOptions,
  weights: WeightType | undefined,
): Promise<ModelFolder> {
  const file = await configFile(path);
  const reading = readConfig(file, await readJsonObject(file));
  const whole = reading.shape;
  const count = integerOption('layers', layers, 1, whole.layers.length, whole.layers.length);
  const kept = whole.layers.slice(0, count);
  const block = mtp ? whole.mtp : null;
  const hasExperts = [...kept, ...(block ? [block] : [])].some(({ ffn }) => ffn === 'moe');
  const shape = { ...whole, layers: kept, mtp: block, moe: hasExperts ? whole.moe : null };

  const type = choiceOption('weights', weights, weightTypes);
  const tensors = Array.from(wantedTensors(shape), ({ name, part, shape: sizes }): TensorEntry => {
    const stored = isRecipe(type) ? chooseType(recipes[type], part, name, sizes).type : (uniformType(type) ?? 'bf16');
    return { name, file: 0, offset: 0, bytes: blockBytes(stored, elementsOf(sizes)), type: stored, shape: sizes };
  });
  return {
    folder: file,
    isGguf: false,
    // Without files: the core then makes the weights up.
    description: { ...shape, files: [], tensors },
    notes: [],
    config: modelConfig(reading, shape, { sampling: {}, faults: {}, eosTokenIds: [] }),
  };
}

async function configFile(path: string): Promise<string> {
  const absolute = resolve(path);
  try {
    return (await stat(absolute)).isDirectory() ? join(absolute, 'config.json') : absolute;
  } catch (cause) {
    throw fileError(absolute, cause);
  }
}

/** A model folder as a whole: config.json, generation_config.json and the weights' headers. */
import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ModelDescription } from '../description.js';
import { KexaError } from '../errors.js';
import type { ModelConfig } from '../types.js';
import { type ConfigReading, type ModelShape, readConfig } from './config.js';
import { type GenerationDefaults, readGenerationConfig } from './generation-config.js';
import { fileError, kindOf, readJsonObject, readOptionalJsonObject } from './json-file.js';
import { countParameters } from './parameter-count.js';
import { readCheckpoint } from './shards.js';
import { bindWeights, hasMtpTensors } from './weights.js';

/** A model that is ready to be handed to the core. */
export interface ModelFolder {
  /** Absolute path. */
  folder: string;
  description: ModelDescription;
  config: ModelConfig;
}

/** What config.json and generation_config.json alone tell. */
export interface ConfigOnly {
  /** Absolute path. */
  folder: string;
  /** The description without its weights. */
  shape: ModelShape;
  config: ModelConfig;
}

/**
 * Reads and checks a model folder's metadata. Of the weights only the headers are read.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_BAD_FILE, KEXA_BAD_CONFIG, KEXA_TENSOR_MISMATCH or KEXA_UNSUPPORTED when the
 *   folder does not hold a model that would run right; KEXA_INVALID_ARGUMENT when `path` cannot be one.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const folder = await findFolder(path, false);
  const { reading, defaults } = await readConfigs(folder);
  const checkpoint = await readCheckpoint(folder);
  const hasNoMtp = reading.isMtpOpen && !hasMtpTensors(checkpoint);
  const shape = hasNoMtp ? { ...reading.shape, mtp: null } : reading.shape;
  const tensors = bindWeights(shape, checkpoint);
  return {
    folder,
    description: { ...shape, files: checkpoint.files, tensors },
    config: modelConfig(reading, shape, defaults),
  };
}

/**
 * Reads a model's config without its weights. `path` is the folder or the config.json in it. An MTP block that the
 * config leaves open is taken to be there, as it is in every released model of the kind.
 *
 * @throws KexaError as {@link openModelFolder}, but for the weights.
 */
export async function readConfigOnly(path: string): Promise<ConfigOnly> {
  const folder = await findFolder(path, true);
  const { reading, defaults } = await readConfigs(folder);
  return { folder, shape: reading.shape, config: modelConfig(reading, reading.shape, defaults) };
}

async function findFolder(path: unknown, takesConfigFile: boolean): Promise<string> {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    const found = typeof path === 'string' ? JSON.stringify(path) : kindOf(path);
    throw new KexaError('KEXA_INVALID_ARGUMENT', `path: wanted a model folder, found ${found}`);
  }
  const absolute = resolve(path);
  const found = await stat(absolute).catch((cause: unknown) => {
    const error = fileError(absolute, cause);
    if (error.code !== 'KEXA_NOT_FOUND') throw error;
    throw new KexaError('KEXA_NOT_FOUND', `${absolute}: no such model folder`, { cause });
  });
  if (found.isDirectory()) return absolute;
  if (absolute.toLowerCase().endsWith('.gguf')) {
    throw new KexaError('KEXA_UNSUPPORTED', `${absolute}: GGUF files are not read by this version`);
  }
  if (takesConfigFile && absolute.endsWith('config.json')) return dirname(absolute);
  throw new KexaError('KEXA_INVALID_ARGUMENT', `path: wanted a model folder, found the file ${absolute}`);
}

async function readConfigs(folder: string): Promise<{ reading: ConfigReading; defaults: GenerationDefaults }> {
  const configPath = join(folder, 'config.json');
  const generationPath = join(folder, 'generation_config.json');
  const reading = readConfig(configPath, await readJsonObject(configPath));
  const generation = await readOptionalJsonObject(generationPath);
  return { reading, defaults: readGenerationConfig(generationPath, generation, reading.shape.vocabSize) };
}

function modelConfig(reading: ConfigReading, shape: ModelShape, defaults: GenerationDefaults): ModelConfig {
  const count = countParameters(shape);
  return {
    ...shape,
    modelType: reading.modelType,
    parameters: count.total,
    mtpParameters: count.mtp,
    activeParameters: count.active,
    bosTokenId: reading.bosTokenId,
    // Chat models often name the end of a turn in the generation config only.
    eosTokenIds: [...new Set([...reading.eosTokenIds, ...defaults.eosTokenIds])],
    padTokenId: reading.padTokenId,
    generationDefaults: defaults.sampling,
  };
}

/** A model folder as a whole: config.json, generation_config.json and the weights' headers. */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ModelDescription, TensorEntry } from '../description.js';
import { KexaError } from '../errors.js';
import type { ModelConfig } from '../types.js';
import { type ConfigReading, readConfig, type StoredShape } from './config.js';
import { type GenerationDefaults, readGenerationConfig, readGgufDefaults } from './generation-config.js';
import { type GgufModel, ggufCheckpoint, readGgufModel } from './gguf-checkpoint.js';
import { configOfGguf } from './gguf-config.js';
import { fileError, kindOf, readJsonObject, readOptionalJsonObject } from './json-file.js';
import { countParameters } from './parameter-count.js';
import { type Checkpoint, readCheckpoint } from './shards.js';
import { bindWeights, hasMtpTensors } from './weights.js';

/** A model that is ready to be handed to the core. */
export interface ModelFolder {
  /** Absolute path of the folder, or of the GGUF file. */
  folder: string;
  description: ModelDescription;
  config: ModelConfig;
}

/** What config.json and generation_config.json alone tell. */
export interface ConfigOnly {
  /** Absolute path of the folder, or of the GGUF file. */
  folder: string;
  /** The description without its weights. */
  shape: StoredShape;
  config: ModelConfig;
}

/**
 * Reads and checks a model folder's metadata. Of the weights only the headers are read.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_BAD_FILE, KEXA_BAD_CONFIG, KEXA_TENSOR_MISMATCH or KEXA_UNSUPPORTED when the
 *   folder does not hold a model that would run right; KEXA_INVALID_ARGUMENT when `path` cannot be one.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const gguf = await findGguf(path);
  if (gguf !== null) return await openGguf(gguf);
  const folder = await findFolder(path, false);
  const { reading, defaults } = await readConfigs(folder);
  const checkpoint = await readCheckpoint(folder);
  const hasNoMtp = reading.isMtpOpen && !hasMtpTensors(checkpoint);
  const shape = hasNoMtp ? { ...reading.shape, mtp: null } : reading.shape;
  const tensors = bindWeights(shape, checkpoint);
  return {
    folder,
    description: describe(shape, checkpoint, tensors),
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
  const gguf = await findGguf(path);
  if (gguf !== null) {
    const { folder, reading, defaults } = await readGguf(gguf);
    return { folder, shape: reading.shape, config: modelConfig(reading, reading.shape, defaults) };
  }
  const folder = await findFolder(path, true);
  const { reading, defaults } = await readConfigs(folder);
  return { folder, shape: reading.shape, config: modelConfig(reading, reading.shape, defaults) };
}

/** The GGUF file that `path` is, or the one model in the folder that it is; null when it is neither. */
async function findGguf(path: unknown): Promise<string | null> {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) return null;
  const absolute = resolve(path);
  const found = await stat(absolute).catch(() => null);
  if (found?.isFile()) return absolute.toLowerCase().endsWith('.gguf') ? absolute : null;
  if (!found?.isDirectory()) return null;
  const names = await readdir(absolute).catch((): string[] => []);
  if (names.includes('config.json')) return null;
  const models = names.filter((name) => /\.gguf$/i.test(name) && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/i.test(name)).sort();
  if (models.length > 1) {
    throw new KexaError('KEXA_INVALID_ARGUMENT', `path: wanted one model, found ${models.join(', ')} in ${absolute}`);
  }
  return models[0] === undefined ? null : join(absolute, models[0]);
}

interface GgufReading {
  folder: string;
  model: GgufModel;
  reading: ConfigReading;
  defaults: GenerationDefaults;
}

async function readGguf(path: string): Promise<GgufReading> {
  const model = await readGgufModel(path);
  const hasHead = model.files.some(({ tensors }) => tensors.some(({ name }) => name === 'output.weight'));
  const reading = readConfig(model.main.path, configOfGguf(model.main, hasHead));
  const folder = model.main.path;
  const beside = await readGenerationDefaults(dirname(folder), reading.shape.vocabSize);
  return { folder, model, reading, defaults: readGgufDefaults(folder, model.main.metadata, beside) };
}

async function openGguf(path: string): Promise<ModelFolder> {
  const { folder, model, reading, defaults } = await readGguf(path);
  const checkpoint = ggufCheckpoint(model, reading.shape);
  const tensors = bindWeights(reading.shape, checkpoint);
  return {
    folder,
    description: describe(reading.shape, checkpoint, tensors),
    config: modelConfig(reading, reading.shape, defaults),
  };
}

/** What the core is told: each tensor knows by itself how it is stored. */
function describe({ fp8: _, ...shape }: StoredShape, { files }: Checkpoint, tensors: TensorEntry[]): ModelDescription {
  return { ...shape, files, tensors };
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
  if (takesConfigFile && absolute.endsWith('config.json')) return dirname(absolute);
  throw new KexaError('KEXA_INVALID_ARGUMENT', `path: wanted a model folder, found the file ${absolute}`);
}

async function readConfigs(folder: string): Promise<{ reading: ConfigReading; defaults: GenerationDefaults }> {
  const configPath = join(folder, 'config.json');
  const reading = readConfig(configPath, await readJsonObject(configPath));
  return { reading, defaults: await readGenerationDefaults(folder, reading.shape.vocabSize) };
}

async function readGenerationDefaults(folder: string, vocabSize: number): Promise<GenerationDefaults> {
  const path = join(folder, 'generation_config.json');
  return readGenerationConfig(path, await readOptionalJsonObject(path), vocabSize);
}

/** The configuration of a model of `shape`. */
export function modelConfig(reading: ConfigReading, shape: StoredShape, defaults: GenerationDefaults): ModelConfig {
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
    generationFaults: defaults.faults,
  };
}

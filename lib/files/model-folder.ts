/** A model as a whole, a folder or a GGUF file: its configuration, its sampling defaults and the weights' headers. */
import { dirname, join } from 'node:path';
import type { ModelDescription, StoredShape, TensorEntry } from '../description.js';
import { KexaError } from '../errors.js';
import type { ModelConfig } from '../types.js';
import type { KexaWarningCode } from '../warnings.js';
import { type ConfigReading, readConfig } from './config.js';
import { endsOfFolder, endsOfGguf } from './end-tokens.js';
import { knownFamily } from './family/families.js';
import { type GenerationDefaults, readGenerationConfig, readGgufDefaults } from './generation-config.js';
import { ggufCheckpoint, nextnBlocks, readGgufModel } from './gguf/gguf-checkpoint.js';
import { configOfGguf } from './gguf/gguf-config.js';
import { readRopeFactors } from './gguf/gguf-rope.js';
import { largestConfigBytes, readJsonObject, readOptionalJsonObject } from './json-file.js';
import { withoutCacheScales } from './kv-cache-scheme.js';
import { findModel, type ModelPath } from './model-path.js';
import { countParameters } from './parameter-count.js';
import { withQuantization } from './quantized/beside-config.js';
import { readGroupOrders } from './quantized/group-orders.js';
import { type Checkpoint, readCheckpoint } from './shards.js';
import { bindWeights, findMtp, unusedDrafts } from './weights.js';

/** Something that a person should know of the files. Without a code it is told by `kexa inspect` alone. */
export interface ModelNote {
  code: KexaWarningCode | null;
  message: string;
}

/** A model that is ready to be handed to the core. */
export interface ModelFolder {
  /** Absolute path of the folder, or of the GGUF file. */
  folder: string;
  /** Whether `folder` is a GGUF file. */
  isGguf: boolean;
  description: ModelDescription;
  config: ModelConfig;
  notes: readonly ModelNote[];
}

/** A model's metadata, read without its weights. */
export interface ConfigOnly {
  /** Absolute path of the folder, or of the GGUF file. */
  folder: string;
  /** Whether `folder` is a GGUF file. */
  isGguf: boolean;
  /** The description without its weights. */
  shape: StoredShape;
  config: ModelConfig;
  notes: readonly ModelNote[];
}

/**
 * Reads and checks the metadata of a model folder or a GGUF file. It reads only the headers of the weights.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_BAD_FILE, KEXA_BAD_CONFIG, KEXA_TENSOR_MISMATCH or KEXA_UNSUPPORTED when there
 *   is no model that would run right; KEXA_INVALID_ARGUMENT when `path` cannot be one.
 */
export async function openModelFolder(path: string | URL): Promise<ModelFolder> {
  const place = await findModel(path, false);
  const found = await readModel(place);
  const { folder, reading, defaults } = found;
  const notes = [...found.notes];
  const checkpoint = withoutCache(await found.checkpoint(), reading, folder, notes);
  const shape = { ...reading.shape, mtp: mtpOf(reading, checkpoint, folder, notes) };
  const tensors = bindWeights(shape, checkpoint, await readGroupOrders(shape.quantization, checkpoint));
  notes.push(...unfitNotes(tensors));
  const unused = unusedDrafts(tensors, checkpoint);
  if (unused.length > 0) notes.push({ code: null, message: `not used for drafts: ${listed(unused)}` });
  const others = leftOutText(reading, checkpoint);
  if (others !== null) notes.push({ code: 'KEXA_PASSED_OVER', message: `${folder}: ${others}` });
  const config = modelConfig(reading, shape, defaults);
  if (config.eosTokenIds.length === 0) {
    const message = `${folder}: no end token is known, so an answer goes on until its length is reached; give a stop text`;
    notes.push({ code: 'KEXA_NO_END_TOKEN', message });
  }
  const isGguf = place.kind === 'gguf';
  return { folder, isGguf, description: describe(shape, checkpoint, tensors), config, notes };
}

/**
 * Reads a model's metadata without its weights. `path` is the folder or the config.json in it, or a GGUF file. An MTP
 * block that the config leaves open is taken to be there, as it is in every released model of the kind.
 *
 * @throws KexaError as {@link openModelFolder}, but for the weights.
 */
export async function readConfigOnly(path: string): Promise<ConfigOnly> {
  const found = await findModel(path, true);
  const { folder, reading, defaults, notes } = await readModel(found);
  if (reading.cacheScheme !== null) notes.push(cacheNote(folder, reading.cacheScheme, 0));
  const others = leftOutText(reading, null);
  if (others !== null) notes.push({ code: 'KEXA_PASSED_OVER', message: `${folder}: ${others}` });
  const config = modelConfig(reading, reading.shape, defaults);
  return { folder, isGguf: found.kind === 'gguf', shape: reading.shape, config, notes };
}

interface ModelReading {
  folder: string;
  reading: ConfigReading;
  defaults: GenerationDefaults;
  notes: ModelNote[];
  checkpoint: () => Promise<Checkpoint>;
}

async function readModel(found: ModelPath): Promise<ModelReading> {
  return found.kind === 'gguf' ? await readGguf(found) : await readFolder(found.path);
}

async function readFolder(folder: string): Promise<ModelReading> {
  const configPath = join(folder, 'config.json');
  const passed: string[] = [];
  const content = await withQuantization(folder, await readJsonObject(configPath, largestConfigBytes), passed);
  const reading = readConfig(configPath, content, passed);
  const defaults = await readGenerationDefaults(folder, reading.shape.vocabSize);
  const notes: ModelNote[] = passed.map((message) => ({ code: null, message: `config.json: ${message}` }));
  const named = await endsOfFolder(folder, [...reading.eosTokenIds, ...defaults.eosTokenIds], reading.shape.vocabSize);
  defaults.eosTokenIds = [...defaults.eosTokenIds, ...named];
  return {
    folder,
    reading,
    defaults,
    notes,
    checkpoint: () => readCheckpoint(folder, knownFamily(reading.shape.modelType)),
  };
}

async function readGguf({ path, passedOver }: { path: string; passedOver: string[] }): Promise<ModelReading> {
  const model = await readGgufModel(path);
  const { main } = model;
  const tensors = model.files.flatMap((file) => file.tensors);
  const hasHead = tensors.some(({ name }) => name === 'output.weight');
  const passed: string[] = [];
  const reading = readConfig(main.path, configOfGguf(main, { hasHead, nextn: nextnBlocks(model) }, passed));
  reading.shape.ropeFactors = await readRopeFactors(model, reading.shape.headDim);
  const notes: ModelNote[] = passed.map((message) => ({ code: null, message }));
  if (passedOver.length > 0) {
    notes.push({
      code: 'KEXA_PASSED_OVER',
      message: `${dirname(path)}: left out ${listed(passedOver)}, which is no model`,
    });
  }
  if (main.metadata.get('tokenizer.ggml.add_bos_token') === true) {
    const message = `${main.path}: tokenizer.ggml.add_bos_token has no effect: prompts begin as the chat template has them`;
    notes.push({ code: 'KEXA_TOKENIZER', message });
  }
  const { vocabSize } = reading.shape;
  const beside = await readGenerationDefaults(dirname(main.path), vocabSize).catch((error: unknown) => {
    if (!(error instanceof KexaError)) throw error;
    // Beside a GGUF file there may be another model's.
    const message = `left out a generation_config.json that does not fit: ${error.message}`;
    notes.push({ code: 'KEXA_PASSED_OVER', message });
    return readGenerationConfig('', null, vocabSize);
  });
  const defaults = readGgufDefaults(main.path, main.metadata, beside);
  if (reading.eosTokenIds.length === 0)
    defaults.eosTokenIds = [...defaults.eosTokenIds, ...endsOfGguf(main, vocabSize)];
  return { folder: main.path, reading, defaults, notes, checkpoint: async () => ggufCheckpoint(model, reading.shape) };
}

/** The MTP block. Null if its weights are missing: the model then runs without drafts, with the same answers. */
function mtpOf(
  { shape, isMtpOpen }: ConfigReading,
  checkpoint: Checkpoint,
  folder: string,
  notes: ModelNote[],
): StoredShape['mtp'] {
  if (shape.mtp === null) return null;
  const found = findMtp(shape, checkpoint);
  if (found === 'all') return shape.mtp;
  if (found === 'none' && isMtpOpen) return null;
  const what = found === 'none' ? 'the tensors of the MTP block are' : `${found.missing} of the MTP block is`;
  const message = `${folder}: ${what} missing; the model runs without drafts, with the same answers`;
  notes.push({ code: 'KEXA_NO_DRAFTS', message });
  return null;
}

/** The checkpoint without the scales of a cache that is not used, which is told. */
function withoutCache(
  stored: Checkpoint,
  { cacheScheme }: ConfigReading,
  folder: string,
  notes: ModelNote[],
): Checkpoint {
  if (cacheScheme === null) return stored;
  const { checkpoint, scales } = withoutCacheScales(stored);
  notes.push(cacheNote(folder, cacheScheme, scales));
  return checkpoint;
}

function cacheNote(folder: string, scheme: string, scales: number): ModelNote {
  const asked = `${folder}: its quantization_config asks for a KV cache in ${scheme} (kv_cache_scheme)`;
  const leftOut = scales === 0 ? '' : `, and leaves out the scales of such a cache (${scales})`;
  return { code: 'KEXA_PASSED_OVER', message: `${asked}; kexa uses its own, of the option cacheType${leftOut}` };
}

/** Tells which parts of a model are not run. Null if all are. */
function leftOutText({ shape, leftOut }: ConfigReading, checkpoint: Checkpoint | null): string | null {
  const tensors = [...(checkpoint?.tensors.values() ?? [])].filter(({ use }) => use === 'other');
  if (tensors.length === 0 && leftOut.length === 0) return null;
  const { part } = knownFamily(shape.modelType);
  const what = part === null ? 'its other parts are' : `the part that ${part.does} is`;
  const count = tensors.length === 1 ? '1 tensor' : `${tensors.length} tensors`;
  const found = [...leftOut, ...(tensors.length === 0 ? [] : [`${count} such as ${tensors[0]!.name}`])];
  return `only the language model is run, ${what} left out (${found.join(', ')})`;
}

async function readGenerationDefaults(folder: string, vocabSize: number): Promise<GenerationDefaults> {
  const path = join(folder, 'generation_config.json');
  return readGenerationConfig(path, await readOptionalJsonObject(path, largestConfigBytes), vocabSize);
}

/** The description for the core. Each tensor says itself how it is stored. */
function describe(
  { quantization: _, modelType: __, ...shape }: StoredShape,
  { files }: Checkpoint,
  tensors: TensorEntry[],
): ModelDescription {
  return { ...shape, files, tensors };
}

/** A note for packed matrices that no type of blocks can hold. */
function unfitNotes(tensors: readonly TensorEntry[]): ModelNote[] {
  const unfit = tensors.filter(({ type, packed }) => packed !== undefined && type === 'f32');
  if (unfit.length === 0) return [];
  const isReordered = unfit.some(({ packed }) => packed!.groupIndex !== undefined);
  const reason = isReordered
    ? 'the columns of their groups are not side by side'
    : 'no block has the size of their groups';
  const message = `${listed(unfit.map(({ name }) => name))}: held in f32, as ${reason}; weights: 'q8' or another recipe takes less memory`;
  return [{ code: null, message }];
}

/** The first names of a list, for a message. */
function listed(names: readonly string[]): string {
  const more = names.length > 4 ? ` and ${names.length - 3} more` : '';
  return names.slice(0, more === '' ? 4 : 3).join(', ') + more;
}

/** The configuration of a model of `shape`. */
export function modelConfig(reading: ConfigReading, shape: StoredShape, defaults: GenerationDefaults): ModelConfig {
  const count = countParameters(shape);
  return {
    ...shape,
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

/** All tensors of a model folder, in one file or in shards. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { KexaError } from '../errors.js';
import type { Family, FolderNames, TensorNames } from './family/family.js';
import { fileError, isJsonObject, kindOf, readOptionalJsonObject, shown } from './json-file.js';
import { readSafetensorsHeader, type StoredTensor } from './safetensors.js';

/** A tensor of a checkpoint. */
export interface CheckpointTensor extends StoredTensor {
  /** Index into {@link Checkpoint.files}. */
  file: number;
  use: TensorUse;
}

/**
 * The part of a model that uses a tensor:
 *
 * - `model`: the language model. The tensor may change answers.
 * - `draft`: the MTP block. It changes no answer.
 * - `other`: a part that is not run here, such as a vision tower.
 * - `none`: nothing has a use for its weights here, or they are read as metadata.
 */
export type TensorUse = 'model' | 'draft' | 'other' | 'none';

/** The tensors of a model, by the names that its files give them. */
export interface Checkpoint {
  /** Absolute paths. */
  files: string[];
  tensors: ReadonlyMap<string, CheckpointTensor>;
  isGguf: boolean;
  /** The names that the files give to the core's tensors. */
  names: TensorNames;
}

const singleName = 'model.safetensors';
const indexName = 'model.safetensors.index.json';

/** Headers read at a time: enough to hide a network disk's latency, few enough for any limit on open files. */
const readersAtOnce = 8;

/**
 * Reads the headers of `model.safetensors`, or of the shards that `model.safetensors.index.json` names.
 *
 * @throws KexaError KEXA_NOT_FOUND when there is neither, or a listed shard is not there; KEXA_BAD_FILE when a header
 *   or the index is damaged, or the two do not agree.
 */
export async function readCheckpoint(folder: string, family: Family): Promise<Checkpoint> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  if (names.includes(singleName)) return await readShards(folder, [singleName], family);
  const indexPath = join(folder, indexName);
  const index = await readOptionalJsonObject(indexPath);
  if (index === null) throw noWeights(folder, names);
  const weightMap = readWeightMap(indexPath, index.weight_map);
  const checkpoint = await readShards(folder, [...new Set(weightMap.values())].sort(), family);
  for (const [tensor, shard] of weightMap) {
    const found = checkpoint.tensors.get(tensor);
    if (found !== undefined && checkpoint.files[found.file] === join(folder, shard)) continue;
    throw new KexaError(
      'KEXA_BAD_FILE',
      `${indexPath}: says that tensor ${tensor} is in ${shard}, which does not have it`,
    );
  }
  return checkpoint;
}

function readWeightMap(indexPath: string, value: unknown): Map<string, string> {
  if (!isJsonObject(value)) {
    throw new KexaError('KEXA_BAD_FILE', `${indexPath}: weight_map: wanted an object, found ${kindOf(value)}`);
  }
  const weightMap = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(value)) {
    if (typeof shard !== 'string' || !isPlainFileName(shard)) {
      throw new KexaError(
        'KEXA_BAD_FILE',
        `${indexPath}: tensor ${tensor}: wanted the name of a .safetensors file in the same folder, found ${shown(shard)}`,
      );
    }
    weightMap.set(tensor, shard);
  }
  if (weightMap.size === 0) throw new KexaError('KEXA_BAD_FILE', `${indexPath}: weight_map lists no tensors`);
  return weightMap;
}

/** An index comes from outside, and may not make us open files outside its folder. */
function isPlainFileName(name: string): boolean {
  return name.endsWith('.safetensors') && !/[/\\:\0]/.test(name);
}

async function readShards(folder: string, names: readonly string[], family: Family): Promise<Checkpoint> {
  const files = names.map((name) => join(folder, name));
  const headers = await mapBounded(files, readersAtOnce, readSafetensorsHeader);
  const own = namesIn(headers, family);
  const tensors = new Map<string, CheckpointTensor>();
  for (const [file, header] of headers.entries()) {
    for (const tensor of header) {
      const other = tensors.get(tensor.name);
      if (other !== undefined) {
        throw new KexaError(
          'KEXA_BAD_FILE',
          `${files[file]}: tensor ${tensor.name} is also in ${names[other.file]}; one of the two is wrong`,
        );
      }
      tensors.set(tensor.name, { ...tensor, file, use: useOf(tensor.name, own) });
    }
  }
  return { files, tensors, isGguf: false, names: own };
}

/**
 * The names that a folder gives to the tensors: those of the language model alone if it has the embedding under them.
 */
function namesIn(headers: readonly StoredTensor[][], { folder, folderAlone }: Family): FolderNames {
  const isAlone = headers.some((header) => header.some(({ name }) => name === folderAlone?.outer.embed));
  return isAlone ? folderAlone! : folder;
}

function useOf(name: string, { own, draft }: FolderNames): TensorUse {
  if (draft?.test(name)) return 'draft';
  return own.test(name) ? 'model' : 'other';
}

/** `Promise.all(items.map(work))`, but with at most `atOnce` of them under way. */
async function mapBounded<T, R>(items: readonly T[], atOnce: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}

function noWeights(folder: string, names: readonly string[]): KexaError {
  const other = names.find((name) => /\.(bin|pt|pth|npz|onnx)$/.test(name));
  const hint = other === undefined ? '' : `\n  (${other} is there, but this version reads safetensors and GGUF only)`;
  return new KexaError('KEXA_NOT_FOUND', `${folder}: wanted ${singleName} or ${indexName}, found neither${hint}`);
}

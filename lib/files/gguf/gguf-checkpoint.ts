/** A model's GGUF files as a checkpoint. */

import { basename, dirname, join } from 'node:path';
import type { StoredShape } from '../../description.js';
import { KexaError } from '../../errors.js';
import { knownFamily } from '../family/families.js';
import type { Checkpoint, CheckpointTensor, TensorUse } from '../shards.js';
import { type GgufFile, readGgufFile } from './gguf.js';

export interface GgufModel {
  /** The first file; its metadata is the model's. */
  main: GgufFile;
  files: GgufFile[];
}

const mostParts = 99999;

/** Parts of a model that sees and hears. */
const otherParts = /^(v|mm|a|resampler)\./;
/** How an engine may round activations, and RoPE's factors, which are read with the metadata. */
const noWeights = /\.input_scale$|^rope_freqs\.weight$/;

/**
 * Reads the header of a GGUF file, and of all parts where it is one of `-00001-of-0000N.gguf`.
 *
 * @throws KexaError as {@link readGgufFile}; KEXA_NOT_FOUND names a part that is not there.
 */
export async function readGgufModel(path: string): Promise<GgufModel> {
  const part = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(basename(path));
  if (part === null) {
    const main = await readGgufFile(path);
    const count = main.metadata.get('split.count') ?? 1;
    if (count === 1 || count === 0) return { main, files: [main] };
    throw bad(path, `a part of ${String(count)}, which needs a name that ends in -00001-of-0000N.gguf`);
  }
  const count = Math.min(Number(part[3]), mostParts);
  const files: GgufFile[] = [];
  for (let index = 0; index < count; index++) {
    const number = String(index + 1).padStart(5, '0');
    const file = await readGgufFile(join(dirname(path), `${part[1]}-${number}-of-${part[3]}.gguf`));
    // One file of its own may be named as the only part of itself.
    const isPart = count > 1 || file.metadata.has('split.count');
    for (const [key, wanted] of Object.entries(isPart ? { 'split.no': index, 'split.count': count } : {})) {
      const found = file.metadata.get(key);
      if (found !== wanted) throw bad(file.path, `${key}: wanted ${wanted}, as the file's name says, found ${found}`);
    }
    files.push(file);
  }
  const main = files[0];
  if (main === undefined) throw bad(path, 'a name that says it is a part of no files');
  const total = files.reduce((sum, file) => sum + file.tensors.length, 0);
  const wanted = main.metadata.get('split.tensors.count');
  if (wanted !== undefined && wanted !== total) {
    throw bad(main.path, `split.tensors.count: ${String(wanted)}, but the parts have ${total} tensors`);
  }
  return { main, files };
}

/** Blocks that have a tensor of an MTP block, and so are one, whatever the metadata counts. */
export function nextnBlocks({ files }: GgufModel): Set<number> {
  const blocks = new Set<number>();
  for (const { tensors } of files) {
    for (const { name } of tensors) {
      const block = /^blk\.(\d+)\.nextn\./.exec(name)?.[1];
      if (block !== undefined) blocks.add(Number(block));
    }
  }
  return blocks;
}

/** The tensors by their names in the files. The experts of a layer are one tensor, of which each expert has a part. */
export function ggufCheckpoint(model: GgufModel, { modelType, layers, mtp }: StoredShape): Checkpoint {
  const { files } = model;
  const drafts = nextnBlocks(model);
  const useOf = (name: string): TensorUse => {
    const block = Number(/^blk\.(\d+)\./.exec(name)?.[1]);
    const { length } = layers;
    const isDraft = (block === length && mtp !== null) || (block >= length && drafts.has(block));
    if (isDraft) return 'draft';
    if (noWeights.test(name)) return 'none';
    return otherParts.test(name) ? 'other' : 'model';
  };
  const tensors = new Map<string, CheckpointTensor>();
  for (const [file, { path, tensors: stored }] of files.entries()) {
    for (const tensor of stored) {
      const { name } = tensor;
      if (tensors.has(name)) throw bad(path, `tensor ${name} is there twice`);
      tensors.set(name, { ...tensor, file, use: useOf(name) });
    }
  }
  return { files: files.map(({ path }) => path), tensors, isGguf: true, names: knownFamily(modelType).gguf };
}

function bad(path: string, message: string): KexaError {
  return new KexaError('KEXA_BAD_FILE', `${path}: ${message}`);
}

/** A model's GGUF files as a checkpoint: every tensor by the name that safetensors files give it. */

import { basename, dirname, join } from 'node:path';
import type { ModelShape } from '../../description.js';
import { KexaError } from '../../errors.js';
import type { Checkpoint, CheckpointTensor, TensorUse } from '../shards.js';
import { wantedTensors } from '../wanted-tensors.js';
import { type GgufFile, readGgufFile } from './gguf.js';
import { ggufPlace } from './gguf-names.js';

export interface GgufModel {
  /** The first file; its metadata is the model's. */
  main: GgufFile;
  files: GgufFile[];
}

const mostParts = 99999;

/**
 * Parts of a model that sees and hears, how an engine may round activations, and RoPE's factors, which are read with the
 * metadata: none of them is a weight of the language model.
 */
const otherParts = /^(v|mm|a|resampler)\.|\.input_scale$|^rope_freqs\.weight$/;

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

/**
 * The tensors under safetensors' names, stacked experts cut into one tensor each. Tensors without such a name keep their
 * own, so that they can be refused by it.
 */
export function ggufCheckpoint(model: GgufModel, shape: ModelShape): Checkpoint {
  const { files } = model;
  const names = new Map<string, string>();
  const ownNames = new Map<string, string>();
  for (const { name, sources } of wantedTensors(shape)) {
    const place = ggufPlace(name, shape.layers.length, shape.normPlacement);
    const source = sources[0]!.name;
    ownNames.set(source, place.isExpert ? `${place.name}, of each expert` : place.name);
    if (!place.isExpert) names.set(place.name, source);
  }
  const drafts = nextnBlocks(model);
  const useOf = (name: string): TensorUse => {
    const block = Number(/^blk\.(\d+)\./.exec(name)?.[1]);
    const { length } = shape.layers;
    const isDraft = (block === length && shape.mtp !== null) || (block >= length && drafts.has(block));
    return isDraft ? 'draft' : otherParts.test(name) ? 'other' : 'model';
  };
  const tensors = new Map<string, CheckpointTensor>();
  for (const [file, { path, tensors: stored }] of files.entries()) {
    for (const tensor of stored) {
      const { name } = tensor;
      const found: CheckpointTensor = { ...tensor, file, storedName: name, use: useOf(name) };
      for (const part of partsOf(found, names, shape)) {
        if (tensors.has(part.name)) throw bad(path, `tensor ${name} is there twice`);
        tensors.set(part.name, part);
      }
    }
  }
  return {
    files: files.map(({ path }) => path),
    tensors,
    isGguf: true,
    storedName: (name) => ownNames.get(name) ?? name,
  };
}

function partsOf(tensor: CheckpointTensor, names: ReadonlyMap<string, string>, shape: ModelShape): CheckpointTensor[] {
  const name = names.get(tensor.name);
  if (name !== undefined) return [{ ...tensor, name }];
  // A name that no tensor of a folder can have: a file may not pass one off as another.
  const unknown = { ...tensor, name: `gguf:${tensor.name}` };
  const [, block, kind] = /^blk\.(\d+)\.ffn_(gate|up|down|gate_up)_exps\.weight$/.exec(tensor.name) ?? [];
  if (block === undefined || Number(block) >= shape.layers.length) return [unknown];
  const from = `model.layers.${Number(block)}.mlp.experts.`;
  // Each expert's gate rows, then its up rows: what transformers saves, too.
  if (kind === 'gate_up') return [{ ...tensor, name: `${from}gate_up_proj` }];
  const [experts, ...one] = tensor.shape;
  if (tensor.shape.length !== 3 || experts !== shape.moe?.experts) return [unknown];
  const bytes = tensor.bytes / experts!;
  return Array.from({ length: experts! }, (_, expert) => ({
    ...tensor,
    name: `${from}${expert}.${kind}_proj.weight`,
    shape: one,
    offset: tensor.offset + expert * bytes,
    bytes,
  }));
}

function bad(path: string, message: string): KexaError {
  return new KexaError('KEXA_BAD_FILE', `${path}: ${message}`);
}

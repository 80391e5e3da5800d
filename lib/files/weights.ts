/** Binding: each tensor the core wants, found in the checkpoint and checked. */
import { basename } from 'node:path';
import type { TensorEntry, TensorType } from '../description.js';
import { KexaError } from '../errors.js';
import type { ModelShape } from './config.js';
import { blockBytes, isReadType } from './gguf-types.js';
import type { Checkpoint, CheckpointTensor } from './shards.js';
import { elementsOf, type TensorSource, type WantedTensor, wantedTensors } from './wanted-tensors.js';

const safetensorsTypes: Readonly<Record<string, TensorType>> = { BF16: 'bf16', F16: 'f16', F32: 'f32' };

/**
 * Finds every tensor of {@link wantedTensors} in a checkpoint.
 *
 * @throws KexaError KEXA_TENSOR_MISMATCH for a tensor that is missing or has another type or shape than wanted,
 *   KEXA_UNSUPPORTED when the checkpoint has weights that the model described would not use.
 */
export function bindWeights(shape: ModelShape, checkpoint: Checkpoint): TensorEntry[] {
  const used = new Set<string>();
  const entries: TensorEntry[] = [];
  for (const wanted of wantedTensors(shape)) {
    const source = wanted.sources.find(({ name }) => checkpoint.tensors.has(name));
    if (source === undefined) throw missing(wanted, checkpoint);
    used.add(source.name);
    entries.push(bindTensor(wanted, source, checkpoint));
  }
  refuseLeftovers(shape, checkpoint, used);
  return entries;
}

/** Whether a checkpoint has any part of an MTP block. */
export function hasMtpTensors(checkpoint: Checkpoint): boolean {
  for (const name of checkpoint.tensors.keys()) if (name.startsWith('mtp.')) return true;
  return false;
}

function bindTensor(wanted: WantedTensor, source: TensorSource, checkpoint: Checkpoint): TensorEntry {
  const found = checkpoint.tensors.get(source.name)!;
  const type = typeOf(found.dtype);
  if (type === null || shapeText(found.shape) !== shapeText(source.shape)) throw mismatch(source, found, checkpoint);
  return {
    name: wanted.name,
    file: found.file,
    offset: found.offset + blockBytes(type, source.firstElement),
    bytes: blockBytes(type, elementsOf(wanted.shape)),
    type,
    shape: wanted.shape,
  };
}

function typeOf(dtype: string): TensorType | null {
  if (isReadType(dtype)) return dtype;
  return Object.hasOwn(safetensorsTypes, dtype) ? safetensorsTypes[dtype]! : null;
}

/**
 * Weights left over mean a model that computes more than config.json told (a bias, another layer), which would be
 * wrong to run. Tensors outside the language model's own names, such as a vision tower's, cannot take part in it.
 */
function refuseLeftovers(shape: ModelShape, checkpoint: Checkpoint, used: ReadonlySet<string>): void {
  for (const [name, tensor] of checkpoint.tensors) {
    if (used.has(name) || !/^(model\.|mtp\.|lm_head)/.test(name)) continue;
    // A table that older transformers saved and every reader recomputes.
    if (name.endsWith('rotary_emb.inv_freq')) continue;
    if (name.startsWith('mtp.') && shape.mtp === null) continue;
    if (name === 'lm_head.weight' && shape.tiedHead) continue;
    throw new KexaError(
      'KEXA_UNSUPPORTED',
      `${name}: ${describe(tensor)} that the model in config.json has no use for; ignoring it would give wrong answers` +
        whereIs(tensor, checkpoint),
    );
  }
}

function mismatch(source: TensorSource, found: CheckpointTensor, checkpoint: Checkpoint): KexaError {
  return new KexaError(
    'KEXA_TENSOR_MISMATCH',
    `${source.name}: wanted ${wantedText(source.shape)}, found ${describe(found)}${whereIs(found, checkpoint)}`,
  );
}

function missing(wanted: WantedTensor, checkpoint: Checkpoint): KexaError {
  const [first, ...others] = wanted.sources.map(({ name }) => name);
  const names = checkpoint.files.map((file) => basename(file));
  const files = names.length > 3 ? `${names[0]} to ${names.at(-1)}` : names.join(', ');
  const aliases = others.length === 0 ? '' : `, also under ${others.join(' and ')}`;
  return new KexaError(
    'KEXA_TENSOR_MISMATCH',
    `${first}: wanted ${wantedText(wanted.shape)}, found nothing\n  looked in ${files}${aliases}`,
  );
}

function wantedText(shape: readonly number[]): string {
  return `bf16, f16 or f32 ${shapeText(shape)}`;
}

function describe(tensor: CheckpointTensor): string {
  return `${tensor.dtype.toLowerCase()} ${shapeText(tensor.shape)}`;
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function whereIs(tensor: CheckpointTensor, checkpoint: Checkpoint): string {
  return `\n  in ${basename(checkpoint.files[tensor.file]!)}`;
}

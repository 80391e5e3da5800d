/** Binding: each tensor the core wants, found in the checkpoint and checked. */
import { basename } from 'node:path';
import type { TensorEntry, TensorScales, TensorType } from '../description.js';
import { KexaError } from '../errors.js';
import type { StoredShape } from './config.js';
import {
  activationScaleNames,
  type Fp8Scheme,
  scaledName,
  scaleNames,
  scaleShapes,
  scalesOf,
  storedStrategy,
} from './fp8.js';
import { blockBytes, isReadType } from './gguf-types.js';
import type { Checkpoint, CheckpointTensor } from './shards.js';
import { elementsOf, type TensorSource, type Wanted, wantedTensors } from './wanted-tensors.js';

const plainTypes = { BF16: 'bf16', F16: 'f16', F32: 'f32' } as const;
const safetensorsTypes: Readonly<Record<string, TensorType>> = { ...plainTypes, F8_E4M3: 'f8_e4m3' };

/**
 * Finds every tensor of {@link wantedTensors} in a checkpoint.
 *
 * @throws KexaError KEXA_TENSOR_MISMATCH for a tensor, or the scales of one in FP8, that is missing, too much, or of
 *   another type or shape than wanted, KEXA_UNSUPPORTED when the checkpoint has weights that the model described would not use.
 */
export function bindWeights(shape: StoredShape, checkpoint: Checkpoint): TensorEntry[] {
  const used = new Set<string>();
  const entries: TensorEntry[] = [];
  for (const wanted of wantedTensors(shape)) {
    const source = wanted.sources.find(({ name }) => checkpoint.tensors.has(name));
    if (source === undefined) throw missing(wanted, checkpoint);
    used.add(source.name);
    entries.push(bindTensor(wanted, source, checkpoint, shape.fp8, used));
  }
  refuseLeftovers(shape, checkpoint, used);
  return entries;
}

/** Whether a checkpoint has any part of an MTP block. */
export function hasMtpTensors(checkpoint: Checkpoint): boolean {
  for (const name of checkpoint.tensors.keys()) if (name.startsWith('mtp.')) return true;
  return false;
}

function bindTensor(
  wanted: Wanted,
  source: TensorSource,
  checkpoint: Checkpoint,
  fp8: Fp8Scheme | null,
  used: Set<string>,
): TensorEntry {
  const found = checkpoint.tensors.get(source.name)!;
  const mayBeFp8 = fp8 !== null && wanted.shape.length > 1;
  const type = typeOf(found.dtype);
  if (type === null || (type === 'f8_e4m3' && !mayBeFp8) || shapeText(found.shape) !== shapeText(source.shape)) {
    throw mismatch(source.name, wantedText(source.shape, mayBeFp8), found, checkpoint);
  }
  const entry: TensorEntry = {
    name: wanted.name,
    file: found.file,
    offset: found.offset + blockBytes(type, source.firstElement),
    bytes: blockBytes(type, elementsOf(wanted.shape)),
    type,
    shape: wanted.shape,
  };
  return type === 'f8_e4m3' ? { ...entry, scales: bindScales(wanted, source, checkpoint, fp8!, used) } : entry;
}

function bindScales(
  wanted: Wanted,
  source: TensorSource,
  checkpoint: Checkpoint,
  fp8: Fp8Scheme,
  used: Set<string>,
): TensorScales {
  const strategy = storedStrategy(fp8, wanted, source);
  const shapes = scaleShapes(strategy, source.shape);
  const wantedScales = `f32, bf16 or f16 ${shapeText(shapes[0]!)}, the scales of its ${strategyNames[strategy]}`;
  const [name, other] = scaleNames(source.name).filter((candidate) => checkpoint.tensors.has(candidate));
  if (name === undefined) {
    throw new KexaError(
      'KEXA_TENSOR_MISMATCH',
      `${scaleNames(source.name)[0]}: wanted ${wantedScales}, found nothing, nor as ${scaleNames(source.name)[1]}` +
        whereIs(checkpoint.tensors.get(source.name)!, checkpoint),
    );
  }
  const found = checkpoint.tensors.get(name)!;
  if (other !== undefined) {
    throw new KexaError(
      'KEXA_TENSOR_MISMATCH',
      `${source.name}: wanted scales once, found ${name} and ${other}${whereIs(found, checkpoint)}`,
    );
  }
  const type = Object.hasOwn(plainTypes, found.dtype) ? plainTypes[found.dtype as keyof typeof plainTypes] : null;
  if (type === null || !shapes.some((shape) => shapeText(shape) === shapeText(found.shape))) {
    throw mismatch(name, wantedScales, found, checkpoint);
  }
  for (const read of [name, ...activationScaleNames(source.name)]) used.add(read);
  return scalesOf(strategy, source, { name, file: found.file, offset: found.offset, type });
}

const strategyNames = { block: 'blocks of 128 x 128', channel: 'rows', tensor: 'whole matrix' } as const;

function typeOf(dtype: string): TensorType | null {
  if (isReadType(dtype)) return dtype;
  return Object.hasOwn(safetensorsTypes, dtype) ? safetensorsTypes[dtype]! : null;
}

/**
 * Weights left over mean a model that computes more than config.json told (a bias, another layer), which would be
 * wrong to run. Tensors outside the language model's own names, such as a vision tower's, cannot take part in it.
 */
function refuseLeftovers(shape: StoredShape, checkpoint: Checkpoint, used: ReadonlySet<string>): void {
  for (const [name, tensor] of checkpoint.tensors) {
    if (used.has(name) || !/^(model\.|mtp\.|lm_head)/.test(name)) continue;
    // A table that older transformers saved and every reader recomputes.
    if (name.endsWith('rotary_emb.inv_freq')) continue;
    if (name.startsWith('mtp.') && shape.mtp === null) continue;
    if (name === 'lm_head.weight' && shape.tiedHead) continue;
    const scaled = scaledName(name);
    if (shape.fp8 !== null && used.has(scaled)) {
      const stored = describe(checkpoint.tensors.get(scaled)!);
      throw new KexaError(
        'KEXA_TENSOR_MISMATCH',
        `${name}: wanted no scales, as ${scaled} is ${stored}, found ${describe(tensor)}${whereIs(tensor, checkpoint)}`,
      );
    }
    throw new KexaError(
      'KEXA_UNSUPPORTED',
      `${name}: ${describe(tensor)} that the model in config.json has no use for; ignoring it would give wrong answers` +
        whereIs(tensor, checkpoint),
    );
  }
}

function mismatch(name: string, wanted: string, found: CheckpointTensor, checkpoint: Checkpoint): KexaError {
  return new KexaError(
    'KEXA_TENSOR_MISMATCH',
    `${name}: wanted ${wanted}, found ${describe(found)}${whereIs(found, checkpoint)}`,
  );
}

function missing(wanted: Wanted, checkpoint: Checkpoint): KexaError {
  const [first, ...others] = wanted.sources.map(({ name }) => name);
  const names = checkpoint.files.map((file) => basename(file));
  const files = names.length > 3 ? `${names[0]} to ${names.at(-1)}` : names.join(', ');
  const aliases = others.length === 0 ? '' : `, also under ${others.join(' and ')}`;
  return new KexaError(
    'KEXA_TENSOR_MISMATCH',
    `${first}: wanted ${wantedText(wanted.shape)}, found nothing\n  looked in ${files}${aliases}`,
  );
}

function wantedText(shape: readonly number[], mayBeFp8 = false): string {
  return `bf16, f16${mayBeFp8 ? ', f32 or f8_e4m3' : ' or f32'} ${shapeText(shape)}`;
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

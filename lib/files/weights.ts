/** Finds each tensor that the core wants in a checkpoint, and checks it. */
import { basename } from 'node:path';
import type { QuantizationScheme, StoredShape, TensorEntry, TensorScales, TensorType } from '../description.js';
import { KexaError } from '../errors.js';
import { sourcesOf, type TensorSource } from './family/tensor-sources.js';
import { type Fp8Strategy, scaledName, scaleNames, scaleShapes, scalesOf } from './fp8.js';
import { blockBytes, isReadType } from './gguf/gguf-types.js';
import { bindPacked, codeNames, type GroupOrders, isPacked } from './quantized/bind-packed.js';
import { storedFormat } from './quantized/scheme.js';
import type { Checkpoint } from './shards.js';
import { describe, mismatch, shapeText, whereIs } from './tensor-errors.js';
import { elementsOf, type Wanted, wantedTensors } from './wanted-tensors.js';

const plainTypes = { BF16: 'bf16', F16: 'f16', F32: 'f32' } as const;
const safetensorsTypes: Readonly<Record<string, TensorType>> = { ...plainTypes, F8_E4M3: 'f8_e4m3' };

/**
 * Finds every tensor of {@link wantedTensors} in a checkpoint. `orders` tells of each index of columns' groups whether
 * the columns are in order.
 *
 * @throws KexaError KEXA_TENSOR_MISMATCH for a tensor, or a part of one in few bits, that is missing, too much, or of
 *   another type or shape than wanted, KEXA_UNSUPPORTED when the checkpoint has weights that the model described would not use.
 */
export function bindWeights(
  shape: StoredShape,
  checkpoint: Checkpoint,
  orders: GroupOrders = new Map(),
): TensorEntry[] {
  const used = new Set<string>();
  const entries: TensorEntry[] = [];
  for (const wanted of wantedTensors(shape)) {
    const sources = sourcesOf(checkpoint.names, wanted, shape);
    const source = sources.find((each) => isStored(each, checkpoint, shape.quantization));
    if (source === undefined) throw missing(sources, checkpoint, shape.quantization);
    for (const name of activationNames(source.name)) used.add(name);
    entries.push(bindTensor(wanted, source, checkpoint, shape.quantization, orders, used));
  }
  refuseLeftovers(shape, checkpoint, used);
  return entries;
}

/**
 * Whether a checkpoint has the MTP block that `shape` asks for: all tensors, none, or the first one that is missing.
 */
export function findMtp(shape: StoredShape, checkpoint: Checkpoint): 'all' | 'none' | { missing: string } {
  const wanted = [...wantedTensors(shape)].filter(({ part }) => part === 'mtp');
  const places = wanted.map((tensor) => sourcesOf(checkpoint.names, tensor, shape));
  const missing = places.find((sources) => !sources.some((source) => isStored(source, checkpoint, shape.quantization)));
  if (missing === undefined) return 'all';
  const hasSome = [...checkpoint.tensors.values()].some(({ use }) => use === 'draft');
  return hasSome ? { missing: missing[0]!.name } : 'none';
}

/** Tensors of the drafting block that nothing reads, by the names that their files give them. */
export function unusedDrafts(tensors: readonly TensorEntry[], checkpoint: Checkpoint): string[] {
  const used = new Set(tensors.flatMap((entry) => placesOf(entry).map(({ file, offset }) => `${file} ${offset}`)));
  const drafts = [...checkpoint.tensors.values()].filter(({ use }) => use === 'draft');
  return drafts.filter(({ file, offset }) => !used.has(`${file} ${offset}`)).map(({ name }) => name);
}

/** The places of all stored tensors that an entry reads. */
function placesOf(entry: TensorEntry): { file: number; offset: number }[] {
  const { scales, packed } = entry;
  const parts = packed && [packed.scales, packed.zeros, packed.groupIndex, packed.factor, packed.weightShape];
  return [entry, scales, ...(parts ?? [])].filter((place) => place !== undefined);
}

/** The names of numbers by which others round activations. A device that computes in f32 has no use for them. */
function activationNames(source: string): string[] {
  const stem = source.endsWith('.weight') ? source.slice(0, -'weight'.length) : `${source}_`;
  return ['input_scale', 'input_zero_point', 'input_global_scale', 'activation_scale'].map((name) => stem + name);
}

function isStored(source: TensorSource, checkpoint: Checkpoint, scheme: QuantizationScheme | null): boolean {
  return checkpoint.tensors.has(source.name) || (scheme !== null && isPacked(scheme, source, checkpoint));
}

function bindTensor(
  wanted: Wanted,
  source: TensorSource,
  checkpoint: Checkpoint,
  scheme: QuantizationScheme | null,
  orders: GroupOrders,
  used: Set<string>,
): TensorEntry {
  const packed = scheme && bindPacked(wanted, source, checkpoint, scheme, orders, used);
  if (packed !== null) return packed;
  const found = checkpoint.tensors.get(source.name)!;
  used.add(found.name);
  const mayBeFp8 = wanted.shape.length > 1 && (scheme?.groups.some(({ format }) => format.name === 'fp8') ?? false);
  const type = typeOf(found.dtype);
  if (type === null || (type === 'f8_e4m3' && !mayBeFp8) || shapeText(found.shape) !== shapeText(source.shape)) {
    throw mismatch(wantedText(source.shape, checkpoint, mayBeFp8), found, checkpoint);
  }
  const entry: TensorEntry = {
    name: wanted.name,
    file: found.file,
    offset: found.offset + blockBytes(type, source.firstElement),
    bytes: blockBytes(type, elementsOf(wanted.shape)),
    type,
    shape: wanted.shape,
  };
  return type === 'f8_e4m3' ? { ...entry, scales: bindScales(wanted, source, checkpoint, scheme!, used) } : entry;
}

function bindScales(
  wanted: Wanted,
  source: TensorSource,
  checkpoint: Checkpoint,
  scheme: QuantizationScheme,
  used: Set<string>,
): TensorScales {
  const format = storedFormat(scheme, wanted, source, ({ name }) => name === 'fp8');
  const strategy = format.strategy as Fp8Strategy;
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
    throw mismatch(wantedScales, found, checkpoint);
  }
  used.add(name);
  return scalesOf(strategy, source, { name, file: found.file, offset: found.offset, type });
}

const strategyNames = { block: 'blocks of 128 x 128', channel: 'rows', tensor: 'whole matrix' } as const;

function typeOf(dtype: string): TensorType | null {
  if (isReadType(dtype)) return dtype;
  return Object.hasOwn(safetensorsTypes, dtype) ? safetensorsTypes[dtype]! : null;
}

/**
 * Weights left over mean that the model computes more than its config tells (a bias, another layer), so that running it
 * would be wrong. Weights of the MTP block change no answer, and weights of a vision tower take no part in one.
 */
function refuseLeftovers(shape: StoredShape, checkpoint: Checkpoint, used: ReadonlySet<string>): void {
  for (const [name, tensor] of checkpoint.tensors) {
    if (used.has(name) || tensor.use !== 'model') continue;
    // A table that older transformers saved and every reader recomputes.
    if (name.endsWith('rotary_emb.inv_freq')) continue;
    if (name === checkpoint.names.outer.head && shape.tiedHead) continue;
    const scaled = scaledName(name);
    if (shape.quantization !== null && used.has(scaled)) {
      const stored = describe(checkpoint.tensors.get(scaled)!);
      throw new KexaError(
        'KEXA_TENSOR_MISMATCH',
        `${name}: wanted no scales, as ${scaled} is ${stored}, found ${describe(tensor)}${whereIs(tensor, checkpoint)}`,
      );
    }
    throw new KexaError(
      'KEXA_UNSUPPORTED',
      `${name}: ${describe(tensor)} that the model in ${checkpoint.isGguf ? 'the metadata' : 'config.json'} has no use for; ` +
        `ignoring it would give wrong answers` +
        whereIs(tensor, checkpoint),
    );
  }
}

function missing(
  sources: readonly TensorSource[],
  checkpoint: Checkpoint,
  scheme: QuantizationScheme | null,
): KexaError {
  const [first, ...others] = sources as [TensorSource, ...TensorSource[]];
  const names = checkpoint.files.map((file) => basename(file));
  const files = names.length > 3 ? `${names[0]} to ${names.at(-1)}` : names.join(', ');
  const also = [...others.map(({ name }) => name), ...(scheme === null ? [] : codeNames(scheme, first))];
  const aliases = also.length === 0 ? '' : `, also under ${also.join(' and ')}`;
  return new KexaError(
    'KEXA_TENSOR_MISMATCH',
    `${first.name}: wanted ${wantedText(first.shape, checkpoint)}, found nothing\n  looked in ${files}${aliases}`,
  );
}

function wantedText(shape: readonly number[], { isGguf }: Checkpoint, mayBeFp8 = false): string {
  if (isGguf) return shapeText(shape);
  return `bf16, f16${mayBeFp8 ? ', f32 or f8_e4m3' : ' or f32'} ${shapeText(shape)}`;
}

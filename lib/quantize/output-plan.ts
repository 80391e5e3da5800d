/** Plans the content of a quantised file, tensor by tensor, before anything is written. */
import type { TensorEntry } from '../description.js';
import { knownFamily } from '../files/family/families.js';
import { sourcesOf } from '../files/family/tensor-sources.js';
import { aligned, ggufHeader, type Metadata } from '../files/gguf/gguf-header.js';
import { blockBytes, blockTypes, type GgufType } from '../files/gguf/gguf-types.js';
import type { ModelFolder } from '../files/model-folder.js';
import { elementsOf, wantedTensors } from '../files/wanted-tensors.js';
import { chooseType, type Recipe } from '../plan/recipes.js';
import { ropeFactors } from './model-metadata.js';

/** A tensor of the file. */
export interface OutputTensor {
  name: string;
  /** The row-major shape. The experts of a layer are the first dimension. */
  shape: number[];
  type: GgufType;
  /** The type that the recipe wanted, if the tensor's rows do not fit it. Null otherwise. */
  instead: GgufType | null;
  /** The first byte, counted from the start of the data. */
  offset: number;
  bytes: number;
  /** The tensors that it is made of, in order: the experts of a layer, or one tensor. Empty for computed values. */
  sources: TensorEntry[];
  /** The computed values. Null if there are sources. */
  values: Float32Array | null;
}

export interface OutputPlan {
  header: Buffer;
  tensors: OutputTensor[];
  /** Bytes of the whole file. */
  bytes: number;
}

/** Lays out the file of a model. */
export function planOutput({ description, config }: ModelFolder, recipe: Recipe, metadata: Metadata): OutputPlan {
  const { gguf } = knownFamily(config.modelType);
  const entries = new Map(description.tensors.map((entry) => [entry.name, entry]));
  const tensors = new Map<string, OutputTensor>();
  for (const wanted of wantedTensors(description)) {
    const { name, part, shape } = wanted;
    const place = sourcesOf(gguf, wanted, description)[0]!;
    const entry = entries.get(name)!;
    const found = tensors.get(place.name);
    if (found !== undefined) {
      found.sources.push(entry);
      continue;
    }
    const chosen = chooseType(recipe, part, name, shape);
    tensors.set(place.name, { name: place.name, shape: place.shape, ...chosen, ...unplaced, sources: [entry] });
  }
  const factors = ropeFactors(description);
  if (factors !== null) {
    const name = 'rope_freqs.weight';
    tensors.set(name, { name, shape: [factors.length], type: 'f32', instead: null, ...unplaced, values: factors });
  }
  return placed([...tensors.values()], metadata);
}

const unplaced = { offset: 0, bytes: 0, sources: [], values: null } satisfies Partial<OutputTensor>;

function placed(tensors: OutputTensor[], metadata: Metadata): OutputPlan {
  let end = 0;
  for (const tensor of tensors) {
    tensor.offset = aligned(end);
    tensor.bytes = blockBytes(tensor.type, elementsOf(tensor.shape));
    end = tensor.offset + tensor.bytes;
  }
  const infos = tensors.map(({ name, shape, type, offset }) => ({ name, shape, typeId: blockTypes[type].id, offset }));
  const header = ggufHeader(metadata, infos);
  return { header, tensors, bytes: header.length + aligned(end) };
}

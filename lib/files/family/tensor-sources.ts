/** The places where files may keep a tensor that the core wants. */
import type { ModelShape } from '../../description.js';
import type { WantedTensor } from '../wanted-tensors.js';
import type { TensorNames } from './family.js';

/** One place where a checkpoint may keep a wanted tensor: a tensor of its own, or a part of a larger one. */
export interface TensorSource {
  name: string;
  /** The shape of the whole stored tensor. */
  shape: number[];
  /** Where the wanted part begins in it, in elements. */
  firstElement: number;
}

/** The places of a tensor of a model, likeliest first. */
export function sourcesOf(names: TensorNames, wanted: WantedTensor, model: ModelShape): TensorSource[] {
  const layers = String(model.layers.length);
  const named = (name: string, layer = '', expert = '') =>
    name.replace('{layers}', layers).replace('{layer}', layer).replace('{expert}', expert);
  const outer = names.outer[wanted.name];
  if (outer !== undefined) return [{ name: named(outer), shape: wanted.shape, firstElement: 0 }];
  const [, layer, expert, part] = /^(?:layers\.(\d+)|mtp\.layer)\.(?:experts\.(\d+)\.)?(.+)$/.exec(wanted.name)!;
  const prefix = layer === undefined ? names.mtpLayer! : names.layer;
  return names.inLayer[expert === undefined ? part! : `experts.${part}`]!.map((place) => {
    if (typeof place === 'string')
      return { name: named(prefix + place, layer, expert), shape: wanted.shape, firstElement: 0 };
    const [rows, columns] = wanted.shape as [number, number];
    const matrices = place.holds === 'matrix' ? 1 : 2;
    const index = Number(expert) * matrices + (matrices === 2 && part === 'up' ? 1 : 0);
    return {
      name: named(prefix + place.stack, layer),
      shape: [model.moe!.experts, matrices * rows, columns],
      firstElement: index * rows * columns,
    };
  });
}

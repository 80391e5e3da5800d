/** Which matrices a config stores in which format. */
import type { QuantizationScheme, WeightFormat } from '../../description.js';
import { KexaError } from '../../errors.js';
import type { TensorSource } from '../family/tensor-sources.js';
import type { TensorPart } from '../wanted-tensors.js';

type Matrix = { part: TensorPart; name: string; shape: readonly number[] };

/** How a matrix is stored by the config. Null if the config does not store it in fewer bits. */
export function plannedFormat(scheme: QuantizationScheme, tensor: Matrix, source: TensorSource): WeightFormat | null {
  if (tensor.shape.length !== 2) return null;
  const module = moduleOf(source.name);
  if (scheme.ignored.some((entry) => isNamed(entry, module, scheme.ignoredBy))) return null;
  return groupOf(scheme.groups, module, classOf(tensor))?.format ?? null;
}

/**
 * How a matrix is stored whose tensors are those of one of `formats`, whatever the config says of it.
 *
 * @throws KexaError KEXA_UNSUPPORTED if several ways are possible.
 */
export function storedFormat(
  scheme: QuantizationScheme,
  tensor: Matrix,
  source: TensorSource,
  isPossible: (format: WeightFormat) => boolean,
): WeightFormat {
  const possible = scheme.groups.filter(({ format }) => isPossible(format));
  const texts = new Set(possible.map(({ format }) => JSON.stringify(format)));
  const group = texts.size === 1 ? possible[0] : groupOf(possible, moduleOf(source.name), classOf(tensor));
  if (group !== undefined) return group.format;
  throw new KexaError(
    'KEXA_UNSUPPORTED',
    `${source.name}: stored in a way that config_groups describe several times, and none of their targets names it`,
  );
}

/** The expression after `re:`. It matches the beginning of a name, as in Python. */
export function patternOf(entry: string): RegExp {
  return new RegExp(`^(?:${entry.slice('re:'.length)})`);
}

type Group = QuantizationScheme['groups'][number];

function groupOf(groups: readonly Group[], module: string, className: string): Group | undefined {
  return (
    groups.find(({ targets }) => targets.some((target) => isNamed(target, module, 'name'))) ??
    groups.find(({ targets }) => targets.includes(className))
  );
}

function isNamed(entry: string, module: string, by: QuantizationScheme['ignoredBy']): boolean {
  if (entry.startsWith('re:')) return patternOf(entry).test(module);
  if (by === 'part') return `.${module}.`.includes(`.${entry}.`);
  return by === 'wildcard' ? wildcardOf(entry).test(module) : entry === module;
}

function wildcardOf(entry: string): RegExp {
  const literal = entry.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${literal.replaceAll('*', '.*').replaceAll('?', '.')}$`);
}

function moduleOf(source: string): string {
  return source.endsWith('.weight') ? source.slice(0, -'.weight'.length) : source;
}

/** The class of the module in its publisher's program. The router's weights are a parameter of a class of its own. */
function classOf({ part, name }: Matrix): string {
  if (part === 'embedding') return 'Embedding';
  return part === 'router' || name.endsWith('.router') ? 'Router' : 'Linear';
}

/** Reads each layer's kind: which keys its attention sees, whether it rotates, and its FFN. */
import type { LayerDescription } from '../description.js';
import { type ConfigFields, isBoolean, isFiniteNumber, isIntegerIn, isText } from './config-fields.js';
import type { Family } from './family/family.js';
import { shown } from './json-file.js';

const largestWindow = 2 ** 31 - 1;
const slidingType = 'sliding_attention';
const fullType = 'full_attention';

/**
 * Reads the window of every layer; 0 is global attention. The first field that is present decides:
 *
 * - which layers slide: `layer_types`, `sliding_windows`, `sliding_window_pattern`
 * - how many keys they see: `sliding_windows`, `sliding_window`
 *
 * The window of the MTP block is null if there is no block.
 */
export function readWindows(
  fields: ConfigFields,
  layers: number,
  family: Family,
  hasMtp: boolean,
): { main: number[]; mtp: number | null } {
  if (family.windows === 'none') return { main: new Array<number>(layers).fill(0), mtp: null };
  const lengths = hasMtp && family.mtpWindow === 'first' ? [layers, layers + 1] : [layers];
  const types = readAttentionTypes(fields, 'layer_types', lengths);
  const windows = fields.optionalList('sliding_windows', [layers], 'a window, 0 for full attention,', isWindow);
  const slides = types?.slice(0, layers) ?? windows?.map((window) => window > 0) ?? readPattern(fields, layers, family);
  const main = slides.map((sliding, layer) =>
    windowOf(fields, 'layer_types', 'sliding_windows', sliding, windows, layer),
  );
  if (!hasMtp) return { main, mtp: null };
  const mtpSlides = family.mtpWindow === 'first' && (types?.[layers] ?? slides[0]!);
  return { main, mtp: readMtpWindow(fields, mtpSlides, main[0]!) };
}

/** Reads the window of the MTP layer. Without a field that says it, `slides` tells whether it is the first layer's. */
function readMtpWindow(fields: ConfigFields, slides: boolean, first: number): number {
  const types = readAttentionTypes(fields, 'mtp_layer_types', [1]);
  const windows = fields.optionalList('mtp_sliding_windows', [1], 'a window, 0 for full attention,', isWindow);
  if (types === null && windows === null && slides && first > 0) return first;
  const sliding = types?.[0] ?? (windows === null ? slides : windows[0]! > 0);
  return windowOf(fields, 'mtp_layer_types', 'mtp_sliding_windows', sliding, windows, 0);
}

/**
 * Reads the FFN of every layer from `mlp_layer_types`, `is_moe_layer` or `first_k_dense_replace` (older:
 * `first_last_k_dense_replace`). The fields that are present must agree.
 */
export function readFfnKinds(fields: ConfigFields, layers: number): LayerDescription['ffn'][] {
  const voices: { name: string; isMoe: boolean[] }[] = [];
  const types = fields.optionalList('mlp_layer_types', [layers], '"dense" or "sparse"', isText);
  if (types !== null)
    voices.push({ name: 'mlp_layer_types', isMoe: types.map((type, i) => isSparse(fields, type, i)) });
  const flags = fields.optionalList('is_moe_layer', [layers], 'true or false', isBoolean);
  if (flags !== null) voices.push({ name: 'is_moe_layer', isMoe: flags });
  for (const name of ['first_k_dense_replace', 'first_last_k_dense_replace']) {
    const lead = fields.optionalInteger(name, 0, layers);
    if (lead !== null) voices.push({ name, isMoe: Array.from({ length: layers }, (_, i) => i >= lead) });
  }
  const [first, ...others] = voices;
  if (first === undefined) throw fields.missing('mlp_layer_types');
  for (const other of others) {
    const layer = other.isMoe.findIndex((isMoe, i) => isMoe !== first.isMoe[i]);
    if (layer < 0) continue;
    const kind = (isMoe: boolean | undefined) => (isMoe ? 'a mixture of experts' : 'dense');
    throw fields.bad(
      `layer ${layer}: ${kind(first.isMoe[layer])} by ${first.name}, but ${kind(other.isMoe[layer])} by ${other.name}`,
    );
  }
  return first.isMoe.map((isMoe) => (isMoe ? 'moe' : 'dense'));
}

/** Reads the SwiGLU clamp of every layer, and of the MTP layer as the last entry. 0 is no clamp. */
export function readSwigluLimits(fields: ConfigFields, layers: number): number[] {
  const isLimit = (value: unknown): value is number => isFiniteNumber(value) && value >= 0 && value <= 1e6;
  const limits = fields.optionalList('swiglu_limits', [layers, layers + 1], 'a number from 0, which is off,', isLimit);
  return Array.from({ length: layers + 1 }, (_, i) => limits?.[i] ?? 0);
}

function readAttentionTypes(fields: ConfigFields, name: string, lengths: readonly number[]): boolean[] | null {
  const types = fields.optionalList(name, lengths, `"${slidingType}" or "${fullType}"`, isText);
  if (types === null) return null;
  return types.map((type, i) => {
    if (type === slidingType || type === fullType) return type === slidingType;
    throw fields.unsupported(`${name}[${i}] ${shown(type)}: this version computes "${slidingType}" and "${fullType}"`);
  });
}

function readPattern(fields: ConfigFields, layers: number, { windows }: Family): boolean[] {
  if (windows === 'told or null' && fields.raw('sliding_window') === null)
    return new Array<boolean>(layers).fill(false);
  const pattern = fields.raw('sliding_window_pattern') ?? null;
  if (pattern === null) throw fields.missing('layer_types');
  const slides = patternSlides(pattern);
  if (slides === null) {
    throw fields.bad(`sliding_window_pattern: wanted a string of L and G or a period from 1, found ${shown(pattern)}`);
  }
  const result = Array.from({ length: layers }, (_, i) => slides(i));
  // transformers says that the last layer is always global. Other readers repeat the pattern to the end.
  if (result[layers - 1]) {
    throw fields.bad(
      `sliding_window_pattern: ${shown(pattern)} ends on a sliding layer at layer ${layers - 1}, which readers take ` +
        `differently; layer_types has to say it`,
    );
  }
  return result;
}

function patternSlides(pattern: unknown): ((layer: number) => boolean) | null {
  if (typeof pattern === 'string' && /^[LG]+$/.test(pattern)) return (layer) => pattern[layer % pattern.length] === 'L';
  if (isIntegerIn(pattern, 1, 65536)) return (layer) => (layer + 1) % pattern !== 0;
  return null;
}

function windowOf(
  fields: ConfigFields,
  typesName: string,
  windowsName: string,
  sliding: boolean,
  windows: number[] | null,
  layer: number,
): number {
  const window = windows?.[layer];
  if (window === undefined) return sliding ? fields.integer('sliding_window', 1, largestWindow) : 0;
  if (window > 0 !== sliding) {
    throw fields.bad(
      `${windowsName}[${layer}]: ${window}, but ${typesName}[${layer}] is "${sliding ? slidingType : fullType}"`,
    );
  }
  return window;
}

function isSparse(fields: ConfigFields, type: string, layer: number): boolean {
  if (type === 'sparse' || type === 'dense') return type === 'sparse';
  throw fields.unsupported(`mlp_layer_types[${layer}] ${shown(type)}: this version computes "dense" and "sparse"`);
}

function isWindow(value: unknown): value is number {
  return isIntegerIn(value, 0, largestWindow);
}

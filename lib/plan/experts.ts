/** Routed experts that stay in main memory: how many of each layer the GPU holds, and which. */
import type { ModelDescription } from '../description.js';
import { KexaError } from '../errors.js';
import { checkPlace, writeFileAtomic } from '../files/atomic-file.js';
import { type JsonObject, readOptionalJsonObject } from '../files/json-file.js';
import type { NativePlanOptions } from '../native.js';
import { integerOption, invalid, sizeText } from '../options.js';
import type { DeviceInfo, LoadOptions, MemoryReport } from '../types.js';
import { checkLoadChoice, checkLoadInteger } from './load-options.js';
import { contextAdvice, largestFitting, planned } from './planned.js';

/** The options that decide where experts are. */
export type ExpertOptions = Pick<LoadOptions, 'expertSlots' | 'gpuMemory' | 'expertMisses' | 'expertProfile'>;

/**
 * The plan's options with a number of slots for each layer's experts, if a limit is asked for: as many as
 * `gpuMemory` has room for, or `expertSlots`.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT; KEXA_OUT_OF_MEMORY if `gpuMemory` has not room for the rest of the model.
 */
export function withExpertSlots(
  description: ModelDescription,
  planOptions: NativePlanOptions,
  options: ExpertOptions,
): NativePlanOptions {
  const { moe } = description;
  checkLoadChoice('expertMisses', options.expertMisses);
  const copies = options.expertMisses === 'copy';
  const gpuMemory = checkLoadInteger('gpuMemory', options.gpuMemory, Number.MAX_SAFE_INTEGER);
  const named = (['expertSlots', 'gpuMemory', 'expertMisses', 'expertProfile'] as const).find(
    (name) => options[name] !== undefined,
  );
  if (named === undefined) return planOptions;
  const { adapter, parts } = planOptions;
  if (adapter === '' && parts.every((part) => part.adapter === ''))
    throw invalid(named, 'a GPU as device, whose memory it is about', options[named]);
  if (options.gpuMemory !== undefined && parts.length > 0)
    throw invalid('gpuMemory', 'one device; with several say expertSlots', options.gpuMemory);
  const experts = moe?.experts ?? 0;
  const least = moe?.sharedExperts === 0 ? 1 : 0;
  const withSlots = (slots: number): NativePlanOptions => {
    if (moe === null || slots >= experts) return planOptions;
    const misses = options.expertMisses ?? (slots >= moe.topK ? 'copy' : 'compute');
    return { ...planOptions, expertSlots: slots, expertMisses: misses };
  };
  const bytesOf = (slots: number) => planned(description, withSlots(slots)).total;
  if (options.expertSlots !== undefined) {
    if (moe === null) throw invalid('expertSlots', 'a model with experts', options.expertSlots);
    const slots = integerOption('expertSlots', options.expertSlots, least, experts, experts);
    if (copies && slots < moe.topK)
      throw invalid(
        'expertSlots',
        `at least ${moe.topK}, the experts that a token needs at once, with expertMisses 'copy'`,
        slots,
      );
    if (bytesOf(slots) > gpuMemory) throw tooLittle(description, withSlots(slots), gpuMemory);
    return withSlots(slots);
  }
  if (bytesOf(experts) <= gpuMemory) return planOptions;
  const fewest = copies ? (moe?.topK ?? 0) : least;
  if (moe === null || bytesOf(fewest) > gpuMemory) throw tooLittle(description, withSlots(fewest), gpuMemory);
  const more = largestFitting(experts - 1 - fewest, (count) => bytesOf(fewest + count) <= gpuMemory);
  return withSlots(fewest + more);
}

/**
 * Throws KEXA_OUT_OF_MEMORY if a plan for one GPU is larger than its memory, as far as that is known, with how many
 * experts of each layer, or else what context, would fit. A software GPU's memory is the system's, which says itself.
 */
export function checkGpuFits(
  description: ModelDescription,
  options: NativePlanOptions,
  { total }: Pick<MemoryReport, 'total'>,
  { name, memoryBytes, isSoftware }: Pick<DeviceInfo, 'name' | 'memoryBytes' | 'isSoftware'>,
): void {
  if (isSoftware || memoryBytes === undefined || total <= memoryBytes) return;
  if (options.expertSlots >= 0 || description.moe === null)
    throw tooLittle(description, options, memoryBytes, `memory of ${name}`);
  let slots = 0;
  try {
    slots = withExpertSlots(description, options, { gpuMemory: memoryBytes }).expertSlots;
  } catch {
    throw tooLittle(description, options, memoryBytes, `memory of ${name}`);
  }
  throw new KexaError(
    'KEXA_OUT_OF_MEMORY',
    `memory of ${name}: wanted ${sizeText(total)}, found ${sizeText(memoryBytes)}; expertSlots ${slots} would fit, with the ` +
      'other experts of each layer in main memory',
  );
}

function tooLittle(
  description: ModelDescription,
  options: NativePlanOptions,
  found: number,
  name = 'gpuMemory',
): KexaError {
  const { expertSlots } = options;
  const slots = expertSlots < 0 ? '' : ` with ${expertSlots} experts of each layer`;
  return new KexaError(
    'KEXA_OUT_OF_MEMORY',
    `${name}: wanted ${sizeText(planned(description, options).total)}${slots}, found ${sizeText(found)}; ` +
      contextAdvice(description, options, ({ total }) => total <= found),
  );
}

/** Throws KEXA_OUT_OF_MEMORY if experts that are stored anew in main memory do not fit there. */
export function checkHostExperts({ experts }: MemoryReport, found: number): void {
  const wanted = experts === null ? 0 : experts.host - experts.mapped;
  if (wanted <= found) return;
  throw new KexaError(
    'KEXA_OUT_OF_MEMORY',
    `memory: wanted ${sizeText(wanted)} for experts stored anew, found ${sizeText(found)} free; experts in their file's own type are read in place`,
  );
}

/**
 * How often each expert was chosen, [layers, experts], as a profile tells it; empty if there is no such file yet. It
 * will be written again when the model is closed, which is tried here: hours of choices are not to be lost then.
 *
 * @throws KexaError KEXA_WRITE_FAILED if it could not be written; KEXA_BAD_FILE, also for a profile of a model of
 *   another shape
 */
export async function readExpertProfile(path: string, description: ModelDescription): Promise<Float32Array> {
  const damaged = (reason: string, cause?: unknown) =>
    new KexaError('KEXA_BAD_FILE', `${path}: not an expert profile (${reason})`, { cause });
  await checkPlace(path);
  let json: JsonObject | null;
  try {
    json = await readOptionalJsonObject(path);
  } catch (cause) {
    throw damaged((cause as Error).message, cause);
  }
  if (json === null) return new Float32Array();
  if (json.version !== 1 || !Array.isArray(json.heat)) throw damaged('wanted {"version": 1, "heat": [...]}');
  const layers = layerCount(description);
  const experts = description.moe?.experts ?? 0;
  const rows: unknown[] = json.heat;
  if (rows.length !== layers || rows.some((row) => !Array.isArray(row) || row.length !== experts)) {
    const first = rows[0];
    const found = `${rows.length} layers of ${Array.isArray(first) ? first.length : 0}`;
    throw damaged(`wanted ${layers} layers of ${experts} experts, found ${found}: another model's`);
  }
  const heat = rows.flat();
  if (!heat.every((value): value is number => typeof value === 'number' && value >= 0 && value <= 1e30))
    throw damaged('wanted numbers from 0 on');
  return Float32Array.from(heat);
}

/** @throws KexaError KEXA_WRITE_FAILED */
export async function writeExpertProfile(
  path: string,
  description: ModelDescription,
  heat: Float32Array,
): Promise<void> {
  const experts = description.moe?.experts ?? 0;
  const rows = Array.from({ length: layerCount(description) }, (_, layer) =>
    Array.from(heat.subarray(layer * experts, (layer + 1) * experts), (value) => Number(value.toPrecision(6))),
  );
  await writeFileAtomic(path, `${JSON.stringify({ version: 1, heat: rows })}\n`);
}

function layerCount({ layers, mtp }: ModelDescription): number {
  return layers.length + (mtp === null ? 0 : 1);
}

import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { TensorEntry, WeightFormat } from '../../description.js';
import { KexaError } from '../../errors.js';
import { storedScales } from '../../files/fp8.js';
import type { ModelNote } from '../../files/model-folder.js';
import { limits } from '../../limits.js';
import { defined } from '../../options.js';
import type { PlannedOptions } from '../../plan/memory-plan.js';
import type { Verdict } from '../../plan/verdict.js';
import { printableLine } from '../../printable.js';
import type { DeviceMemory, MemoryReport, ModelConfig } from '../../types.js';
import { exitWith, UsageError } from '../exit.js';
import { bytesText, countText, groupedText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { memorySize } from '../numbers.js';
import {
  add,
  addLoadOption,
  addModelOptions,
  addPlanOptions,
  type LoadFlags,
  requireModel,
  toLoadOptions,
} from '../options.js';
import { table, writeAnswer, writeJson } from '../output.js';
import { patternText } from '../pattern.js';
import { verdictText } from '../verdict-text.js';

interface InspectFlags extends Omit<LoadFlags, 'device'> {
  tensors?: boolean;
  memory?: boolean;
  verdict?: boolean;
  device?: ('cpu' | 'gpu')[];
  deviceMemory?: number;
  json?: boolean;
}

/** The facts from the weights' headers. */
interface Weights {
  files: string[];
  bytes: number;
  /** The tensors and bytes of each stored type. */
  types: { type: string; tensors: number; bytes: number }[];
  tensors: TensorEntry[];
}

interface Inspection {
  folder: string;
  config: ModelConfig;
  /** The facts of the weights. Null for a folder with a config only. */
  weights: Weights | null;
  /** The plan, or the reason why there is none. */
  memory: MemoryReport | string;
  contextSize: number;
  slots: number;
  /** Tokens that all sequences share in the global layers' cache. */
  cacheTokens: number;
  /**
   * With --device-memory: the size of the memory, the part that is planned with, whether the plan fits, and the longest
   * context that fits, or 0. Null without the flag.
   */
  fit: { deviceMemory: number; usableMemory: number; fits: boolean; longestContext: number } | null;
  /** The verdicts of --verdict. Null without the flag. */
  verdicts: Verdict[] | null;
  /** Lists the parts that were passed over or are missing. */
  notes: readonly ModelNote[];
}

const examples = `
Examples:
  kexa inspect models/tiny
  kexa inspect models/K-EXAONE-236B-A23B --memory -c 128K
  kexa inspect models/K-EXAONE-236B-A23B --weights q2 --device gpu --device-memory 80GB -c 256K --cache-type f16
  kexa inspect models/K-EXAONE-236B-A23B --verdict
  kexa inspect models/tiny --tensors | grep router

Reads headers only, never weights. A folder with nothing but a config.json will do; its weights are then counted as
bf16, or in the format that it names. Tensors go by kexa's own names; stacked experts are listed one by one.`;

/** `kexa inspect`: what a model is, and what it would take. */
export function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .summary('show what a model is and what memory it takes')
    .usage('DIR [options]')
    .description("Shows a model's configuration, parameters, tensors and memory plan, without loading it.")
    .argument('[dir]', 'folder of the model, or a GGUF file; the same as -m')
    .addHelpText('after', () => wrapHelp(examples));
  const output = 'Output:';
  add(command, output, '--tensors', 'list every tensor');
  add(command, output, '--memory', 'show the memory plan in detail');
  add(command, output, '--verdict', 'show which recipe fits which machine, with which context, and about how fast');
  add(
    command,
    output,
    '--device <kind>',
    'what the plan is for: cpu or gpu, or several, as in gpu,gpu (default: cpu)',
    {
      parse: deviceKinds,
    },
  );
  addLoadOption(command, 'layerSplit');
  add(
    command,
    output,
    '--device-memory <size>',
    'memory of each device, as in 80GB: whether the plan fits, and the longest context that would',
    {
      parse: memorySize,
    },
  );
  add(command, output, '--json', 'print one JSON object: folder, config, weights, memory');
  addModelOptions(command);
  addPlanOptions(command);
  command.action(exitWith(inspect));
}

/** `gpu:1` is planned like `gpu`. */
function deviceKinds(text: string): ('cpu' | 'gpu')[] {
  return text.split(',').map((name) => {
    const [, kind] = /^\s*(cpu|gpu)(?::\d+)?\s*$/.exec(name) ?? [];
    if (kind === undefined) throw new InvalidArgumentError('It takes cpu or gpu, or several, as in gpu,gpu.');
    return kind as 'cpu' | 'gpu';
  });
}

async function inspect(dir: string | undefined, flags: InspectFlags, command: Command): Promise<number> {
  if (dir !== undefined && flags.model !== undefined && command.getOptionValueSource('model') === 'cli') {
    throw new UsageError(`name one model: found ${dir} and -m ${flags.model}`);
  }
  const model = await read(dir ?? requireModel(flags), flags);
  if (flags.json) await writeJson(toJson(model, flags));
  else await writeAnswer(toText(model, flags));
  return 0;
}

async function read(path: string, flags: InspectFlags): Promise<Inspection> {
  const { openModelFolder, readConfigOnly } = await import('../../files/model-folder.js');
  const { fitsInto, longestContext, MemoryPlanner, usableBytes } = await import('../../plan/memory-plan.js');
  const { weights: weightType, device: _, ...planned } = toLoadOptions(flags);
  const bare = await readConfigOnly(path);
  const model =
    bare.isGguf || (await hasWeights(bare.folder)) ? await openModelFolder(bare.isGguf ? path : bare.folder) : null;
  const { config } = model ?? bare;
  let memory: MemoryReport | string;
  let fit: Inspection['fit'] = null;
  let verdicts: Inspection['verdicts'] = null;
  try {
    const shape = model?.description ?? bare.shape;
    const options: Omit<PlannedOptions, 'weights'> = { ...planned, ...defined({ device: flags.device }) };
    const planner = new MemoryPlanner(shape, weightType);
    memory = planner.plan(options);
    const { deviceMemory, device = ['cpu'] } = flags;
    if (deviceMemory !== undefined)
      fit = {
        deviceMemory,
        usableMemory: usableBytes(device[0]!, deviceMemory),
        fits: fitsInto(memory, deviceMemory, device),
        longestContext: longestContext(planner, options, deviceMemory),
      };
    if (flags.verdict) {
      const { machines, planVerdicts, thisMachine } = await import('../../plan/verdict.js');
      // The weights may lack the MTP block that the config leaves open.
      const stored = { ...bare.shape, mtp: shape.mtp };
      verdicts = planVerdicts(stored, defined({ prefillChunk: planned.prefillChunk }), [
        ...machines,
        ...(await thisMachine()),
      ]);
    }
  } catch (error) {
    // Only the plan needs the core. All else can be told without it.
    if (!(error instanceof KexaError) || error.code !== 'KEXA_NO_BINARY') throw error;
    memory = error.message;
  }
  const contextSize = planned.contextSize ?? Math.min(config.maxPositions, limits.defaultContext);
  return {
    folder: bare.folder,
    config,
    weights: model && summary(model.description.tensors, model.description.files),
    memory,
    contextSize,
    slots: planned.slots ?? limits.slots,
    cacheTokens: planned.cacheTokens ?? contextSize,
    fit,
    verdicts,
    notes: (model ?? bare).notes,
  };
}

async function hasWeights(folder: string): Promise<boolean> {
  return (await readdir(folder)).some((name) => /\.safetensors(\.index\.json)?$/.test(name));
}

function summary(tensors: TensorEntry[], paths: readonly string[]): Weights {
  const types = new Map<string, { type: string; tensors: number; bytes: number }>();
  let total = 0;
  for (const entry of tensors) {
    const { type } = entry;
    const bytes = entry.bytes + storedScales(entry).bytes;
    const sum = types.get(type) ?? { type, tensors: 0, bytes: 0 };
    types.set(type, { type, tensors: sum.tensors + 1, bytes: sum.bytes + bytes });
    total += bytes;
  }
  const files = paths.map((path) => basename(path));
  return { files, bytes: total, types: [...types.values()].sort((a, b) => b.bytes - a.bytes), tensors };
}

function toJson(
  { folder, config, weights, memory, contextSize, slots, cacheTokens, fit, verdicts, notes }: Inspection,
  flags: InspectFlags,
) {
  const { files, bytes, types, tensors } = weights ?? { files: [], bytes: 0, types: [], tensors: [] };
  return {
    folder,
    config,
    weights: weights && { files, bytes, types, ...(flags.tensors && { tensors }) },
    memory: typeof memory === 'string' ? null : { contextSize, slots, cacheTokens, ...memory, ...fit },
    ...(verdicts && { verdicts }),
    notes: notes.map(({ message }) => message),
  };
}

function toText(model: Inspection, flags: InspectFlags): string {
  const { config, weights, folder } = model;
  const parts = [
    `${printableLine(folder)}\n`,
    table(
      [...configRows(config), ...weightRows(weights, config), ...memoryRows(model), ...noteRows(model)].map((row) => [
        '',
        ...row,
      ]),
    ),
  ];
  if (flags.memory && typeof model.memory !== 'string') parts.push(`\n${memoryDetail(model.memory, model)}`);
  if (model.verdicts) parts.push(`\n${verdictText(model.verdicts)}`);
  if (flags.tensors) parts.push(`\n${weights === null ? 'no weights, so no tensors\n' : tensorTable(weights)}`);
  return parts.join('');
}

function configRows(config: ModelConfig): string[][] {
  const { layers, moe, mtp, ropeScaling, ropeFactors, generationDefaults } = config;
  const limits = layers.map(({ swigluLimit }) => (swigluLimit === 0 ? 'none' : String(swigluLimit)));
  const rows = [
    ['type', config.modelType],
    ['parameters', parametersText(config)],
    ['layers', `${layers.length}: ${patternText(layers.map(({ window }) => windowText(window)))}`],
    ['RoPE', `${ropeText(config)}, theta ${groupedText(config.ropeTheta)}`],
    ['FFN', patternText(layers.map(({ ffn, ffnWidth }) => (ffn === 'dense' ? `dense ${ffnWidth}` : 'MoE')))],
  ];
  if (ropeScaling !== null) rows[3]![1] += `, llama3 scaling by ${ropeScaling.factor}`;
  if (ropeFactors !== null) rows[3]![1] += `, factors from ${Math.min(...ropeFactors)} to ${Math.max(...ropeFactors)}`;
  if (moe !== null) {
    const width = layers.find(({ ffn }) => ffn === 'moe')!.ffnWidth;
    const groups = moe.groups > 1 ? `; ${moe.keptGroups} of ${moe.groups} groups kept` : '';
    rows.push([
      'experts',
      `${moe.experts} of width ${width}, ${moe.topK} chosen, ${moe.sharedExperts} shared; scale ${moe.scale}${groups}`,
    ]);
  }
  if (limits.some((limit) => limit !== 'none')) rows.push(['SwiGLU clamp', patternText(limits)]);
  rows.push(
    ['attention', `${config.heads} query heads on ${config.kvHeads} KV heads of ${config.headDim}`],
    [
      'hidden',
      `${groupedText(config.hiddenSize)}, norm ${config.normPlacement === 'pre' ? 'before' : 'after'} each part`,
    ],
    [
      'vocabulary',
      `${groupedText(config.vocabSize)}, head ${config.tiedHead ? 'tied to the embedding' : 'of its own'}`,
    ],
    [
      'MTP',
      mtp === null
        ? 'none'
        : `1 layer, ${mtp.window === 0 ? 'global' : `window ${mtp.window}`}, ${mtp.ffn} ${mtp.ffnWidth}`,
    ],
    ['context', `${groupedText(config.maxPositions)} tokens at most`],
    ['token ids', `begin ${config.bosTokenId ?? 'none'}, end ${config.eosTokenIds.join(' ') || 'none'}`],
    [
      'sampling',
      Object.entries(generationDefaults)
        .map((pair) => pair.join(' '))
        .join(', ') || 'no defaults given',
    ],
  );
  return rows;
}

function parametersText({ parameters, activeParameters, mtpParameters }: ModelConfig): string {
  const parts = [
    `${countText(parameters)} (${groupedText(parameters)})`,
    `${countText(activeParameters)} active a token`,
  ];
  if (mtpParameters > 0) parts.push(`${countText(mtpParameters)} in the MTP block`);
  return parts.join(', ');
}

function ropeText({ layers }: ModelConfig): string {
  if (layers.every(({ rope }) => rope)) return 'on every layer';
  const isBySliding = layers.every(({ rope, window }) => rope === window > 0);
  return isBySliding ? 'on the sliding layers' : patternText(layers.map(({ rope }) => (rope ? 'yes' : 'no')));
}

function windowText(window: number): string {
  return window === 0 ? 'global' : String(window);
}

function weightRows(weights: Weights | null, { quantization }: ModelConfig): string[][] {
  const format = quantization === null ? '' : formatsText(quantization);
  if (weights === null) {
    const asConfig = format === '' ? '' : `; it says ${format}`;
    return [['weights', `none here: only the config was read${asConfig}`]];
  }
  const { files, bytes, types, tensors } = weights;
  const where = `${files.length} ${files.length === 1 ? 'file' : 'files'}`;
  const byType = types.map(
    ({ type, tensors: count, bytes: size }) => `${groupedText(count)} ${type}, ${bytesText(size)}`,
  );
  const repacked = tensors.some(({ packed }) => packed !== undefined) ? ', repacked when loaded' : '';
  return [
    ['weights', `${groupedText(tensors.length)} tensors in ${where}, ${bytesText(bytes)}${repacked}`],
    ...(format === '' ? [] : [['', `stored in ${format}`]]),
    ...byType.map((text) => ['', text]),
  ];
}

/** The formats of a config, as in `pack-quantized (4 bits, groups of 128)`. */
function formatsText({ groups }: NonNullable<ModelConfig['quantization']>): string {
  return [...new Set(groups.map(({ format }) => formatText(format)))].join(' and ');
}

function formatText({ name, bits, strategy, groupSize, isSymmetric, isReordered }: WeightFormat): string {
  const scales = {
    block: 'scaled by blocks of 128 x 128',
    group: `groups of ${groupSize}`,
    channel: 'scaled by rows',
    tensor: 'scaled by matrices',
  }[strategy];
  if (name === 'fp8') return `FP8, ${scales}`;
  const more = [...(isSymmetric ? [] : ['zero points']), ...(isReordered ? ['columns reordered'] : [])];
  return `${name} (${[`${bits} bits`, scales, ...more].join(', ')})`;
}

function memoryRows({ memory, contextSize, fit }: Inspection): string[][] {
  if (typeof memory === 'string') return [['memory', `no plan: ${memory.split('\n')[0]}`]];
  const { total, weights, cache, scratch, prefixCache, experts, devices = [] } = memory;
  const parts = [
    `weights ${bytesText(weights.total)}`,
    `cache ${bytesText(cache.total)}`,
    `scratch ${bytesText(scratch)}`,
    ...(countsKeptTurns(memory) ? [`kept turns ${bytesText(prefixCache)}`] : []),
  ];
  return [
    ['memory', `${bytesText(total)} at a context of ${groupedText(contextSize)}: ${parts.join(', ')}`],
    ...(experts ? [['', slotsText(experts)]] : []),
    ...devices.map((device) => ['', deviceText(device)]),
    ...(fit ? [['', fitText(fit, devices.length)]] : []),
  ];
}

function slotsText({ slots, slotBytes, host }: NonNullable<MemoryReport['experts']>): string {
  return `of each layer's routed experts ${slots} on the GPU (${bytesText(slotBytes)}), all in main memory (${bytesText(host)})`;
}

function deviceText({ name, layers: [first, last], total, weights, cache, scratch }: DeviceMemory): string {
  const parts = `weights ${bytesText(weights.total)}, cache ${bytesText(cache.total)}, scratch ${bytesText(scratch)}`;
  return `${name}, layers ${first} to ${last}: ${bytesText(total)}: ${parts}`;
}

function fitText(
  { deviceMemory, usableMemory, fits, longestContext }: NonNullable<Inspection['fit']>,
  count: number,
): string {
  const memory = `${bytesText(deviceMemory)}${count > 1 ? ' each' : ''}, of which ${bytesText(usableMemory)} are planned with`;
  const verdict = `${fits ? 'fits' : 'does not fit'} into ${memory}`;
  if (longestContext === 0) return `${verdict}: not even a context of one token does`;
  return `${verdict}; the longest context that does is ${groupedText(longestContext)}`;
}

function noteRows({ notes }: Inspection): string[][] {
  return notes.map(({ message }, i) => [i === 0 ? 'notes' : '', message]);
}

/** Whether the total counts kept turns. They are in main memory, so a GPU's total does not. */
function countsKeptTurns({ total, weights, cache, scratch, prefixCache }: MemoryReport): boolean {
  return prefixCache > 0 && total === weights.total + cache.total + scratch + prefixCache;
}

function memoryDetail(
  memory: MemoryReport,
  { contextSize, slots, cacheTokens }: Pick<Inspection, 'contextSize' | 'slots' | 'cacheTokens'>,
): string {
  const { weights, cache, scratch, growth, prefixCache, experts, total, devices } = memory;
  const kept: [string, number, string] = ['kept turns', prefixCache, 'in main memory, most that they take'];
  const rows: [string, number, string][] = [
    [
      'weights',
      weights.total,
      weights.mapped > 0 ? `${bytesText(weights.mapped)} of it read in place, from the file` : '',
    ],
    ['cache, global layers', cache.global, pagesText(memory)],
    ['cache, sliding layers', cache.sliding, ringsText(cache.sliding, slots)],
    ['cache, MTP layer', cache.mtp, ''],
    [
      'scratch',
      scratch,
      `working buffers of one step${growth?.outgrown ? `, ${bytesText(growth.outgrown)} to copy what grows` : ''}`,
    ],
    ...(countsKeptTurns(memory) ? [kept] : []),
    ['total', total, ''],
    ...(prefixCache > 0 && !countsKeptTurns(memory) ? [kept] : []),
    ...(experts === null
      ? []
      : ([
          ['weights, experts on the GPU', experts.slotBytes, `${experts.slots} of each layer; part of the above`],
          ['experts in main memory', experts.host, `${bytesText(experts.mapped)} of it read in place, from the file`],
        ] satisfies [string, number, string][])),
  ];
  const cells = rows.map(([name, bytes, note]) => [name, groupedText(bytes), bytesText(bytes), note]);
  const perToken = `${groupedText(cache.bytesPerToken)} bytes of cache for each token`;
  const together = cacheTokens === contextSize ? '' : `, ${groupedText(cacheTokens)} of all sequences together`;
  return `memory in bytes, for one sequence of ${groupedText(contextSize)} tokens${together}; ${perToken}\n${table(cells, [1, 2])}${devices ? deviceTable(devices) : ''}`;
}

function ringsText(bytes: number, slots: number): string {
  const each = bytes > 0 ? `, ${bytesText(bytes / slots)} each` : '';
  return `rings of window + batch - 1 rows, for ${slots} sequences${each}`;
}

function pagesText({ growth, cache }: MemoryReport): string {
  if (!growth) return 'pages, as a sequence grows';
  if (!growth.outgrown) return 'pages, all from the start';
  return `pages; of all cache ${bytesText(growth.atLoad)} from the start, ${bytesText(cache.total)} as sequences grow`;
}

/** A table of the bytes of each device. */
function deviceTable(devices: readonly DeviceMemory[]): string {
  const rows = devices.map(({ name, layers: [first, last], weights, cache, scratch, total }, i) => [
    name,
    `${first} to ${last}`,
    ...[weights.total, cache.total, scratch, total].map(groupedText),
    bytesText(total),
    [i === 0 && 'the embedding', i === devices.length - 1 && 'the head, the MTP layer'].filter(Boolean).join(', '),
  ]);
  return `\nby device\n${table([['device', 'layers', 'weights', 'cache', 'scratch', 'total', '', 'and'], ...rows], [2, 3, 4, 5, 6])}`;
}

function tensorTable({ tensors, files }: Weights): string {
  const rows = tensors.map(({ name, type, shape, bytes, file, offset }) => [
    name,
    type,
    `[${shape.join(', ')}]`,
    groupedText(bytes),
    `${files[file]} at ${groupedText(offset)}`,
  ]);
  return table([['name', 'type', 'shape', 'bytes', 'where'], ...rows], [3]);
}

/** Runs one op of the forward pass on the CPU and on a GPU with the same inputs, by native/checks. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ModelDescription, TensorEntry } from '../../lib/description.js';
import { chooseDevice } from '../../lib/device/devices.js';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { checkPlanOptions } from '../../lib/plan/memory-plan.js';
import type { LoadOptions } from '../../lib/types.js';
import { randomNumbers } from './compare.js';
import { quantizeAtRandom, type RandomType } from './quantized-model.js';
import { type Dtype, makeRandomModel, writeRandomModel } from './random-model.js';
import type { HfConfig } from './reference.js';

export type OpName =
  | 'embed'
  | 'attention_input'
  | 'attention'
  | 'attention_output'
  | 'dense_ffn'
  | 'route'
  | 'experts'
  | 'final_norm'
  | 'head'
  | 'begin_draft'
  | 'draft_input';

/** A row of a step: its sequence, and its position there. */
export interface StepRow {
  slot: number;
  position: number;
}

/** OpRequest of native/checks/device_probe.h. Inputs that are left out are made from `seed`. */
export interface OpRequest {
  op: OpName;
  rows: readonly StepRow[];
  /** Whether the rows belong to a prompt; by default those of more than 16 rows do. */
  isPrompt?: boolean;
  layer?: number;
  isMtp?: boolean;
  logitRows?: readonly number[];
  hiddenRow?: number;
  /** The chosen experts of each row. */
  experts?: readonly number[];
  seed: number;
}

/** OpResult of native/checks/device_probe.h: the rows of both devices, `columns` numbers each. */
export interface OpResult {
  name: string;
  columns: number;
  isExact: boolean;
  cpu: Float32Array;
  gpu: Float32Array;
}

/** CrowdResult of native/checks/device_probe.h. */
export interface CrowdResult {
  differences: string[];
  steps: number;
  groups: number;
  following: number;
  masked: number;
  chosen: number;
  problems: number;
  drafts: number;
  accepted: number;
  alternatives: number;
}

/** Bytes that copied cache rows have wrong, and how often the processor waited for the GPU. */
export interface CacheCopyResult {
  wrongBytes: number;
  waits: number;
}

interface NativeProbe {
  run(request: Record<string, unknown>): OpResult[];
  chooseForCrowd(seed: number, groupCounts: Uint32Array): CrowdResult;
  copyCache(layer: number, seed: number): CacheCopyResult;
  close(): void;
}

/** One random model on both devices. */
export class OpProbe {
  readonly description: ModelDescription;
  readonly #probe: NativeProbe;
  readonly #folder: string | null;

  private constructor(description: ModelDescription, probe: NativeProbe, folder: string | null) {
    this.description = description;
    this.#probe = probe;
    this.#folder = folder;
  }

  /**
   * Writes the model and loads it on both devices. `typeOf` gives quantised matrices a type. Closing removes the
   * folder.
   */
  static async open(
    config: Partial<HfConfig>,
    dtype: Dtype,
    options: LoadOptions,
    typeOf: (tensor: TensorEntry) => RandomType | undefined = () => undefined,
  ): Promise<OpProbe> {
    const folder = mkdtempSync(join(tmpdir(), 'kexa-ops-'));
    const model = makeRandomModel(config, 5, dtype);
    writeRandomModel(folder, model, { dtype, experts: 'separate', biasUnderGate: false, shards: 1 });
    const description = quantizeAtRandom(folder, (await openModelFolder(folder)).description, typeOf);
    return await OpProbe.ofDescription(description, options, folder);
  }

  /** A probe of an existing model. Closing it removes `folder`, if one is named. */
  static async ofDescription(
    description: ModelDescription,
    options: LoadOptions,
    folder: string | null = null,
  ): Promise<OpProbe> {
    const { adapter, dawnLibrary } = await chooseDevice(options.device);
    const isChecked = options.gpuChecks ?? false;
    const plan = {
      ...checkPlanOptions(options, description.maxPositions),
      adapter,
      dawnLibrary,
      isChecked,
      threads: 1,
    };
    const { Probe } = createRequire(import.meta.url)(
      process.env.KEXA_CHECKS ?? '../../build/Release/kexa_checks.node',
    ) as {
      Probe: new (description: ModelDescription, options: object) => NativeProbe;
    };
    return new OpProbe(description, new Probe(description, plan), folder);
  }

  run(request: OpRequest): OpResult[] {
    const { rows, seed } = request;
    const next = randomNumbers(seed);
    const token = () => Math.floor(next() * this.description.vocabSize);
    return this.#probe.run({
      op: request.op,
      layer: request.layer ?? 0,
      isPrompt: request.isPrompt ?? rows.length > 16,
      isMtp: request.isMtp ?? false,
      hiddenRow: request.hiddenRow ?? 0,
      seed,
      rows: Uint32Array.from(rows.flatMap(({ slot, position }) => [token(), slot, position])),
      logitRows: Uint32Array.from(request.logitRows ?? []),
      nextTokens: Uint32Array.from(rows, token),
      experts: Uint32Array.from(request.experts ?? []),
    });
  }

  /** Chooses on both devices for steps of as many groups as `groupCounts` tells. */
  chooseForCrowd(seed: number, groupCounts: readonly number[]): CrowdResult {
    return this.#probe.chooseForCrowd(seed, Uint32Array.from(groupCounts));
  }

  /** Copies rows of a layer's cache to others on both devices, and reads them back while they are overwritten. */
  copyCache(layer: number, seed: number): CacheCopyResult {
    return this.#probe.copyCache(layer, seed);
  }

  close(): void {
    this.#probe.close();
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true });
  }
}

/**
 * Each row's distance from another choice of experts: the smallest gap between two biased scores, or between two
 * groups' sums of their two best. `scores` is [rows, experts].
 */
export function routeMargins(scores: Float32Array, moe: NonNullable<ModelDescription['moe']>): number[] {
  const gap = (values: number[]) => {
    const sorted = values.toSorted((a, b) => b - a);
    return Math.min(...sorted.slice(1).map((value, i) => sorted[i]! - value));
  };
  const size = moe.experts / moe.groups;
  return Array.from({ length: scores.length / moe.experts }, (_, row) => {
    const own = [...scores.subarray(row * moe.experts, (row + 1) * moe.experts)];
    const groups = Array.from({ length: moe.groups }, (_, group) => {
      const [first = 0, second = 0] = own.slice(group * size, (group + 1) * size).toSorted((a, b) => b - a);
      return first + second;
    });
    return Math.min(gap(own), gap(groups));
  });
}

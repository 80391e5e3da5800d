/**
 * Reads the golden outputs under `test/models/NAME/goldens`, and a Hugging Face model folder as float64 for
 * {@link reference}. Deliberately shares nothing with the readers under test.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HfConfig, HfTensors } from './reference.js';

export type GoldenName = 'tiny' | 'wide' | 'edge' | 'two';
export const goldenNames: GoldenName[] = ['tiny', 'wide', 'edge', 'two'];

export interface GoldenPrompt {
  ids: number[];
  /** The greedy continuation, and at each of its steps how far the best logit led the second. */
  greedy: number[];
  greedyMargin: number[];
  /** Log-probability of ids[1], ids[2], … given what precedes. */
  logprobs: number[];
  /** The last token's experts on each MoE layer, best first. */
  routes: { layer: number; experts: number[]; weights: number[] }[];
  text?: string;
  greedyText?: string;
}

export interface Goldens {
  prompts: GoldenPrompt[];
  /**
   * For example `prompt0.layer3`, `prompt0.hidden`, `prompt0.logits`, `prompt0.mtp_logits`: [rows, columns], row-major.
   */
  tensor(name: string): Float32Array;
}

export interface HfModel {
  config: HfConfig;
  tensors: HfTensors;
}

interface StoredPrompt extends Omit<GoldenPrompt, 'greedyMargin' | 'routes' | 'greedyText'> {
  greedy_margin: number[];
  routes_last_token: GoldenPrompt['routes'];
  greedy_text?: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Where a golden model's weights are: the tiny model is part of the package, the others are test data. */
export function modelFolder(name: GoldenName): string {
  return name === 'tiny' ? join(root, 'models/tiny') : join(root, 'test/models', name);
}

export function loadGoldens(name: GoldenName): Goldens {
  const folder = join(root, 'test/models', name, 'goldens');
  const json = JSON.parse(readFileSync(join(folder, 'goldens.json'), 'utf8')) as StoredPrompt[];
  const tensors = readSafetensors(join(folder, 'tensors.safetensors'));
  return {
    prompts: json.map(({ greedy_margin, routes_last_token, greedy_text, ...same }) => ({
      ...same,
      greedyMargin: greedy_margin,
      routes: routes_last_token,
      ...(greedy_text === undefined ? {} : { greedyText: greedy_text }),
    })),
    tensor(tensorName) {
      const tensor = tensors.get(tensorName);
      if (!tensor) throw new Error(`${name}'s goldens have no ${tensorName}`);
      return Float32Array.from(tensor.data); // the tensors are stored as float32, so nothing is lost
    },
  };
}

/** Reads a model folder, giving each tensor its on-disk name of 4.1: experts apart, the bias straight under `mlp`. */
export function readHfModel(folder: string): HfModel {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as HfConfig;
  const shards = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
  const stored = shards.flatMap((file) => [...readSafetensors(join(folder, file))]);
  const tensors: HfTensors = new Map();
  for (const [name, tensor] of stored) {
    const fused = /^(.*\.experts)\.(gate_up_proj|down_proj)$/.exec(name);
    if (!fused) {
      tensors.set(name.replace('.gate.e_score', '.e_score'), tensor);
      continue;
    }
    const [experts, rows, columns] = tensor.shape as [number, number, number];
    const parts = fused[2] === 'down_proj' ? ['down_proj'] : ['gate_proj', 'up_proj'];
    const size = (rows / parts.length) * columns;
    for (let i = 0; i < experts * parts.length; i++) {
      const part = `${fused[1]}.${Math.floor(i / parts.length)}.${parts[i % parts.length]}.weight`;
      const data = tensor.data.slice(i * size, (i + 1) * size);
      tensors.set(part, { shape: [rows / parts.length, columns], data });
    }
  }
  return { config, tensors };
}

function readSafetensors(path: string): HfTensors {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, unknown>;
  const tensors: HfTensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets } = entry as { dtype: string; shape: number[]; data_offsets: [number, number] };
    const bytes = file.subarray(start + data_offsets[0], start + data_offsets[1]);
    tensors.set(name, { shape, data: decode(dtype, bytes) });
  }
  return tensors;
}

function decode(dtype: string, bytes: Buffer): Float64Array {
  const aligned = Uint8Array.from(bytes).buffer;
  if (dtype === 'F32') return new Float64Array(new Float32Array(aligned));
  const halves = new Uint16Array(aligned);
  if (dtype === 'BF16') {
    const floats = new Uint32Array(halves.length);
    for (let i = 0; i < halves.length; i++) floats[i] = halves[i]! << 16;
    return new Float64Array(new Float32Array(floats.buffer));
  }
  if (dtype === 'F16') return Float64Array.from(halves, f16ToNumber);
  throw new Error(`wanted BF16, F16 or F32, found ${dtype}`);
}

function f16ToNumber(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  const magnitude = exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

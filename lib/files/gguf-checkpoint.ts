/** A model's GGUF files as a checkpoint: every tensor by the name that safetensors files give it. */
import { basename, dirname, join } from 'node:path';
import { KexaError } from '../errors.js';
import type { ModelShape } from './config.js';
import { type GgufFile, readGgufFile } from './gguf.js';
import type { Checkpoint, CheckpointTensor } from './shards.js';

export interface GgufModel {
  /** The first file; its metadata is the model's. */
  main: GgufFile;
  files: GgufFile[];
}

const mostParts = 99999;
const matrices: Readonly<Record<string, string>> = {
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
  ffn_gate_inp: 'mlp.gate',
  ffn_gate_shexp: 'mlp.shared_experts.gate_proj',
  ffn_up_shexp: 'mlp.shared_experts.up_proj',
  ffn_down_shexp: 'mlp.shared_experts.down_proj',
};
const preNorms: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  ffn_norm: 'post_attention_layernorm',
};
const postNorms: Readonly<Record<string, string>> = {
  post_attention_norm: 'post_attention_layernorm',
  post_ffw_norm: 'post_feedforward_layernorm',
};
const mtpNames: Readonly<Record<string, string>> = {
  'nextn.eh_proj': 'mtp.fc',
  'nextn.enorm': 'mtp.pre_fc_norm_embedding',
  'nextn.hnorm': 'mtp.pre_fc_norm_hidden',
  'nextn.shared_head_norm': 'mtp.norm',
};
const topNames: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

/**
 * Reads the header of a GGUF file, and of all parts where it is one of `-00001-of-0000N.gguf`.
 *
 * @throws KexaError as {@link readGgufFile}; KEXA_NOT_FOUND names a part that is not there.
 */
export async function readGgufModel(path: string): Promise<GgufModel> {
  const part = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(basename(path));
  if (part === null) {
    const main = await readGgufFile(path);
    const count = main.metadata.get('split.count') ?? 1;
    if (count === 1 || count === 0) return { main, files: [main] };
    throw bad(path, `a part of ${String(count)}, which needs a name that ends in -00001-of-0000N.gguf`);
  }
  const count = Math.min(Number(part[3]), mostParts);
  const files: GgufFile[] = [];
  for (let index = 0; index < count; index++) {
    const number = String(index + 1).padStart(5, '0');
    const file = await readGgufFile(join(dirname(path), `${part[1]}-${number}-of-${part[3]}.gguf`));
    for (const [key, wanted] of Object.entries({ 'split.no': index, 'split.count': count })) {
      const found = file.metadata.get(key);
      if (found !== wanted) throw bad(file.path, `${key}: wanted ${wanted}, as the file's name says, found ${found}`);
    }
    files.push(file);
  }
  const main = files[0];
  if (main === undefined) throw bad(path, 'a name that says it is a part of no files');
  const total = files.reduce((sum, file) => sum + file.tensors.length, 0);
  const wanted = main.metadata.get('split.tensors.count');
  if (wanted !== undefined && wanted !== total) {
    throw bad(main.path, `split.tensors.count: ${String(wanted)}, but the parts have ${total} tensors`);
  }
  return { main, files };
}

/** The tensors under safetensors' names, stacked experts cut into one tensor each. Unknown names stay refusable. */
export function ggufCheckpoint({ files }: GgufModel, shape: ModelShape): Checkpoint {
  const tensors = new Map<string, CheckpointTensor>();
  for (const [file, { path, tensors: stored }] of files.entries()) {
    for (const tensor of stored) {
      for (const part of expertsOf({ ...tensor, file }, shape)) {
        if (tensors.has(part.name)) throw bad(path, `tensor ${tensor.name} is there twice`);
        tensors.set(part.name, part);
      }
    }
  }
  return { files: files.map(({ path }) => path), tensors };
}

function expertsOf(tensor: CheckpointTensor, shape: ModelShape): CheckpointTensor[] {
  const stacked = /^blk\.(\d+)\.ffn_(gate|up|down)_exps\.weight$/.exec(tensor.name);
  const [experts, ...one] = tensor.shape;
  if (stacked === null || tensor.shape.length !== 3 || experts !== shape.moe?.experts) {
    return [{ ...tensor, name: nameOf(tensor.name, shape) }];
  }
  const bytes = tensor.bytes / experts!;
  return Array.from({ length: experts! }, (_, expert) => ({
    ...tensor,
    name: `${blockName(Number(stacked[1]), shape)}mlp.experts.${expert}.${stacked[2]}_proj.weight`,
    shape: one,
    offset: tensor.offset + expert * bytes,
    bytes,
  }));
}

function nameOf(name: string, shape: ModelShape): string {
  if (Object.hasOwn(topNames, name)) return topNames[name]!;
  const [, block, rest] = /^blk\.(\d+)\.(.+)$/.exec(name) ?? [];
  // No reader of ours takes a name under `model.gguf.`, so that a tensor without a use is refused by its own.
  const unknown = `model.gguf.${name}`;
  if (block === undefined || rest === undefined) return unknown;
  const from = blockName(Number(block), shape);
  if (rest === 'exp_probs_b.bias') return `${from}mlp.e_score_correction_bias`;
  if (!rest.endsWith('.weight')) return unknown;
  const stem = rest.slice(0, -'.weight'.length);
  if (Number(block) === shape.layers.length && Object.hasOwn(mtpNames, stem)) return `${mtpNames[stem]}.weight`;
  const names = { ...matrices, ...(shape.normPlacement === 'pre' ? preNorms : postNorms) };
  return Object.hasOwn(names, stem) ? `${from}${names[stem]}.weight` : unknown;
}

function blockName(block: number, shape: ModelShape): string {
  return block === shape.layers.length && shape.mtp !== null ? 'mtp.layers.0.' : `model.layers.${block}.`;
}

function bad(path: string, message: string): KexaError {
  return new KexaError('KEXA_BAD_FILE', `${path}: ${message}`);
}

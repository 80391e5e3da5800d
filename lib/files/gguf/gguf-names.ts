/** GGUF's names for the core's tensors (architectures exaone-moe and exaone4). */

const outer: Readonly<Record<string, string>> = {
  embed: 'token_embd.weight',
  norm: 'output_norm.weight',
  head: 'output.weight',
};

const mtp: Readonly<Record<string, string>> = {
  'mtp.embedding_norm': 'nextn.enorm.weight',
  'mtp.hidden_norm': 'nextn.hnorm.weight',
  'mtp.fc': 'nextn.eh_proj.weight',
  'mtp.norm': 'nextn.shared_head_norm.weight',
};

const inBlock: Readonly<Record<string, string>> = {
  q: 'attn_q.weight',
  k: 'attn_k.weight',
  v: 'attn_v.weight',
  o: 'attn_output.weight',
  q_norm: 'attn_q_norm.weight',
  k_norm: 'attn_k_norm.weight',
  gate: 'ffn_gate.weight',
  up: 'ffn_up.weight',
  down: 'ffn_down.weight',
  router: 'ffn_gate_inp.weight',
  router_bias: 'exp_probs_b.bias',
  'shared.gate': 'ffn_gate_shexp.weight',
  'shared.up': 'ffn_up_shexp.weight',
  'shared.down': 'ffn_down_shexp.weight',
};

const norms = {
  pre: { attention_norm: 'attn_norm.weight', ffn_norm: 'ffn_norm.weight' },
  post: { attention_norm: 'post_attention_norm.weight', ffn_norm: 'post_ffw_norm.weight' },
} as const;

/** A tensor of the file. The experts of a layer are one, of which a tensor of the core is a part. */
export interface GgufPlace {
  name: string;
  isExpert: boolean;
}

/** Where a tensor of the core is in a file; the MTP block is the one after the last layer. */
export function ggufPlace(name: string, layers: number, placement: 'pre' | 'post'): GgufPlace {
  const whole = outer[name];
  if (whole !== undefined) return { name: whole, isExpert: false };
  const next = mtp[name];
  if (next !== undefined) return { name: `blk.${layers}.${next}`, isExpert: false };
  const [, number, rest] = /^(?:layers\.(\d+)|mtp\.layer)\.(.+)$/.exec(name)!;
  const block = `blk.${number ?? layers}.`;
  const expert = /^experts\.\d+\.(gate|up|down)$/.exec(rest!);
  if (expert !== null) return { name: `${block}ffn_${expert[1]}_exps.weight`, isExpert: true };
  const norm = norms[placement][rest as keyof (typeof norms)['pre']];
  return { name: block + (norm ?? inBlock[rest!]!), isExpert: false };
}

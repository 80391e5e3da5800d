/** K-EXAONE: a mixture of experts with an MTP block. */
import type { Family, TensorPlace } from './family.js';
import { folderLayer, folderNames, ggufLayer, ggufNames } from './names.js';

/** A matrix of each expert: a tensor of its own, or a part of the stack that transformers 5 saves. */
function expert(name: string, stack: string, holds: 'matrix' | 'gate and up'): TensorPlace[] {
  const stacks = ['', '.weight'].map((suffix) => ({ stack: `mlp.experts.${stack}${suffix}`, holds }));
  return [`mlp.experts.{expert}.${name}_proj.weight`, ...stacks];
}

export const kExaone: Family = {
  name: 'K-EXAONE',
  modelType: 'exaone_moe',
  architectures: ['ExaoneMoeForCausalLM', 'ExaoneMoEForCausalLM'],
  part: null,
  aliases: {},
  // The heads together are wider than the hidden state.
  dividesHeads: false,
  normPlacement: 'pre',
  qkNorm: true,
  rope: 'sliding',
  windows: 'told',
  hasExperts: true,
  // Old configs do not name the block although the model has it.
  mtp: 'assumed',
  mtpWindow: 'none',
  folder: {
    ...folderNames,
    inLayer: {
      ...folderLayer,
      attention_norm: ['input_layernorm.weight'],
      ffn_norm: ['post_attention_layernorm.weight'],
      router: ['mlp.gate.weight'],
      // The second place is that of models that transformers saved.
      router_bias: ['mlp.e_score_correction_bias', 'mlp.gate.e_score_correction_bias'],
      'experts.gate': expert('gate', 'gate_up_proj', 'gate and up'),
      'experts.up': expert('up', 'gate_up_proj', 'gate and up'),
      'experts.down': expert('down', 'down_proj', 'matrix'),
      'shared.gate': ['mlp.shared_experts.gate_proj.weight'],
      'shared.up': ['mlp.shared_experts.up_proj.weight'],
      'shared.down': ['mlp.shared_experts.down_proj.weight'],
    },
  },
  folderAlone: null,
  gguf: {
    ...ggufNames,
    architecture: 'exaone-moe',
    assumedPeriod: null,
    inLayer: {
      ...ggufLayer,
      attention_norm: ['attn_norm.weight'],
      ffn_norm: ['ffn_norm.weight'],
      router: ['ffn_gate_inp.weight'],
      router_bias: ['exp_probs_b.bias'],
      'experts.gate': [
        { stack: 'ffn_gate_exps.weight', holds: 'matrix' },
        { stack: 'ffn_gate_up_exps.weight', holds: 'gate and up' },
      ],
      'experts.up': [
        { stack: 'ffn_up_exps.weight', holds: 'matrix' },
        { stack: 'ffn_gate_up_exps.weight', holds: 'gate and up' },
      ],
      'experts.down': [{ stack: 'ffn_down_exps.weight', holds: 'matrix' }],
      'shared.gate': ['ffn_gate_shexp.weight'],
      'shared.up': ['ffn_up_shexp.weight'],
      'shared.down': ['ffn_down_shexp.weight'],
    },
  },
  text: { pre: 'exaone-moe', normalForm: 'nfc', split: 'exaone-moe' },
  turnEnd: '<|endofturn|>',
  reasoning: { open: '<think>', close: '</think>' },
};

/** EXAONE 3.0, 3.5 and Deep: dense, with no norm of q and k, and every layer global. */
import type { Family } from './family.js';
import { ggufLayer, ggufNames } from './names.js';

export const exaone3: Family = {
  name: 'EXAONE 3',
  modelType: 'exaone',
  architectures: ['ExaoneForCausalLM'],
  part: null,
  aliases: {
    num_layers: 'num_hidden_layers',
    activation_function: 'hidden_act',
    layer_norm_epsilon: 'rms_norm_eps',
  },
  dividesHeads: true,
  normPlacement: 'pre',
  qkNorm: false,
  rope: 'all',
  windows: 'none',
  hasExperts: false,
  mtp: 'none',
  mtpWindow: 'none',
  folder: {
    own: /^(transformer\.|lm_head)/,
    draft: null,
    outer: {
      embed: 'transformer.wte.weight',
      norm: 'transformer.ln_f.weight',
      head: 'lm_head.weight',
    },
    layer: 'transformer.h.{layer}.',
    mtpLayer: null,
    inLayer: {
      attention_norm: ['ln_1.weight'],
      q: ['attn.attention.q_proj.weight'],
      k: ['attn.attention.k_proj.weight'],
      v: ['attn.attention.v_proj.weight'],
      o: ['attn.attention.out_proj.weight'],
      ffn_norm: ['ln_2.weight'],
      gate: ['mlp.c_fc_0.weight'],
      up: ['mlp.c_fc_1.weight'],
      down: ['mlp.c_proj.weight'],
    },
  },
  folderAlone: null,
  gguf: {
    ...ggufNames,
    architecture: 'exaone',
    assumedPeriod: null,
    inLayer: {
      ...ggufLayer,
      attention_norm: ['attn_norm.weight'],
      ffn_norm: ['ffn_norm.weight'],
    },
  },
  text: { pre: 'exaone', normalForm: 'nfkc', split: 'exaone' },
  turnEnd: '[|endofturn|]',
  // EXAONE Deep's. The other models of the family do not think.
  reasoning: { open: '<thought>', close: '</thought>' },
};

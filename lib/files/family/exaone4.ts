/** EXAONE 4.0, and the text part of 4.5 on its own: dense, with the norms behind each part. */
import type { Family } from './family.js';
import { folderLayer, folderNames, ggufLayer, ggufNames } from './names.js';

export const exaone4: Family = {
  name: 'EXAONE 4.0',
  modelType: 'exaone4',
  architectures: ['Exaone4ForCausalLM'],
  part: null,
  // EXAONE 4.5's text part may be published as this type.
  aliases: { _num_mtp_layers: 'num_nextn_predict_layers' },
  dividesHeads: true,
  normPlacement: 'post',
  qkNorm: true,
  rope: 'sliding',
  // EXAONE-4.0-1.2B has a null window and, in some copies, a pattern: the pattern then means nothing.
  windows: 'told or null',
  hasExperts: false,
  mtp: 'told',
  // EXAONE 4.5's block: vLLM builds it as another layer 0, which slides and rotates.
  mtpWindow: 'first',
  folder: {
    ...folderNames,
    inLayer: {
      ...folderLayer,
      attention_norm: ['post_attention_layernorm.weight'],
      ffn_norm: ['post_feedforward_layernorm.weight'],
    },
  },
  folderAlone: null,
  gguf: {
    ...ggufNames,
    architecture: 'exaone4',
    // EXAONE-4.0-32B's files leave the pattern out.
    assumedPeriod: { layers: 64, period: 4 },
    inLayer: {
      ...ggufLayer,
      attention_norm: ['post_attention_norm.weight'],
      ffn_norm: ['post_ffw_norm.weight'],
    },
  },
  text: { pre: 'exaone4', normalForm: 'nfc', split: 'gpt2' },
  turnEnd: '[|endofturn|]',
  reasoning: { open: '<think>', close: '</think>' },
};

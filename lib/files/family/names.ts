/** Names of tensors that several families share. */
import type { FolderNames, TensorNames } from './family.js';

/** The places of dense layers in transformers' models, without the norms. */
export const folderLayer: TensorNames['inLayer'] = {
  q: ['self_attn.q_proj.weight'],
  k: ['self_attn.k_proj.weight'],
  v: ['self_attn.v_proj.weight'],
  q_norm: ['self_attn.q_norm.weight'],
  k_norm: ['self_attn.k_norm.weight'],
  o: ['self_attn.o_proj.weight'],
  gate: ['mlp.gate_proj.weight'],
  up: ['mlp.up_proj.weight'],
  down: ['mlp.down_proj.weight'],
};

/** The names in transformers' models. */
export const folderNames: Omit<FolderNames, 'inLayer'> = {
  own: /^(model\.|lm_head)/,
  draft: /^mtp\./,
  outer: {
    embed: 'model.embed_tokens.weight',
    norm: 'model.norm.weight',
    head: 'lm_head.weight',
    'mtp.embedding_norm': 'mtp.pre_fc_norm_embedding.weight',
    'mtp.hidden_norm': 'mtp.pre_fc_norm_hidden.weight',
    'mtp.fc': 'mtp.fc.weight',
    'mtp.norm': 'mtp.norm.weight',
  },
  layer: 'model.layers.{layer}.',
  mtpLayer: 'mtp.layers.0.',
};

/** The places of dense layers in GGUF files, without the norms. */
export const ggufLayer: TensorNames['inLayer'] = {
  q: ['attn_q.weight'],
  k: ['attn_k.weight'],
  v: ['attn_v.weight'],
  o: ['attn_output.weight'],
  q_norm: ['attn_q_norm.weight'],
  k_norm: ['attn_k_norm.weight'],
  gate: ['ffn_gate.weight'],
  up: ['ffn_up.weight'],
  down: ['ffn_down.weight'],
};

/** The names in GGUF files. The MTP block is the one after the last layer. */
export const ggufNames: Omit<TensorNames, 'inLayer'> = {
  outer: {
    embed: 'token_embd.weight',
    norm: 'output_norm.weight',
    head: 'output.weight',
    'mtp.embedding_norm': 'blk.{layers}.nextn.enorm.weight',
    'mtp.hidden_norm': 'blk.{layers}.nextn.hnorm.weight',
    'mtp.fc': 'blk.{layers}.nextn.eh_proj.weight',
    'mtp.norm': 'blk.{layers}.nextn.shared_head_norm.weight',
  },
  layer: 'blk.{layer}.',
  mtpLayer: 'blk.{layers}.',
};

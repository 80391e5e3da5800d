/** The fields that a config may have. Any other field could change the maths, and is refused. */
import type { ConfigFields } from './config-fields.js';
import type { Family } from './family/family.js';
import { shown } from './json-file.js';

/** Fields that config.ts and its neighbours read or check, for every family. */
const sharedFields = [
  'architectures model_type hidden_act attention_bias mlp_bias vocab_size hidden_size intermediate_size',
  'num_hidden_layers num_attention_heads num_key_value_heads head_dim rms_norm_eps max_position_embeddings',
  'tie_word_embeddings rope_parameters rope_theta rope_scaling partial_rotary_factor swiglu_limits',
  'bos_token_id eos_token_id pad_token_id quantization_config',
];

/** Fields of families with sliding layers. */
const windowFields = ['layer_types sliding_window sliding_windows sliding_window_pattern'];

/** Fields of families with an MTP block. */
const mtpFields = ['num_nextn_predict_layers mtp_layer_types mtp_sliding_windows'];

/** Fields of families with experts. */
const moeFields = [
  'mlp_layer_types is_moe_layer first_k_dense_replace first_last_k_dense_replace moe_intermediate_size num_experts',
  'num_experts_per_tok num_shared_experts n_group topk_group norm_topk_prob routed_scaling_factor scoring_func',
  'topk_method',
];

/** Fields that do not change what a forward pass computes: training, bookkeeping, and how often to draft. */
const bookkeepingFields = [
  '_name_or_path _commit_hash _attn_implementation attn_implementation auto_map dtype torch_dtype use_bfloat16',
  'transformers_version use_cache cache_implementation tokenizer_class initializer_range initializer_factor',
  'attention_dropout hidden_dropout resid_dropout embd_dropout embed_dropout ffn_dropout activation_dropout dropout',
  'classifier_dropout sep_token_id cls_token_id mask_token_id unk_token_id decoder_start_token_id',
  'router_aux_loss_coef aux_loss_alpha aux_loss_coef seq_aux router_jitter_noise router_bias_update_rate z_loss_coef',
  'output_attentions output_hidden_states output_router_logits output_scores return_dict return_dict_in_generate',
  'id2label label2id problem_type finetuning_task task_specific_params pretraining_tp chunk_size_feed_forward',
  'gradient_checkpointing ep_size torchscript library_name mtp_num_speculative_steps mtp_share_layers',
  'mtp_loss_scaling_factor mtp_loss_weight',
  // Keys that savers of models add, and generation keys that older transformers wrote.
  'name model_name base_model license unsloth_fixed unsloth_version unsloth_tiled_mlp trl_version peft_version',
  '_attn_implementation_autoset _experts_implementation experts_implementation _flash_attn_2_enabled',
  'use_sliding_window max_window_layers model_max_length max_seq_length max_seq_len max_sequence_length',
  'max_length min_length max_new_tokens do_sample early_stopping num_beams num_beam_groups diversity_penalty',
  'length_penalty repetition_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size temperature top_k top_p min_p',
  'typical_p num_return_sequences bad_words_ids forced_bos_token_id forced_eos_token_id suppress_tokens',
  'begin_suppress_tokens exponential_decay_length_penalty remove_invalid_values presence_penalty frequency_penalty',
];

const bookkeeping = namesIn(bookkeepingFields);

/** Whether a field says nothing of the maths. */
export function isBookkeeping(name: string): boolean {
  return bookkeeping.has(name);
}

/** Whether a value under an unknown name says "off" or "none": 0, false, nothing, a list of these, or a scale of 1. */
export function isNeutral(name: string, value: unknown): boolean {
  if (value === null || value === false || value === 0 || value === '') return true;
  if (Array.isArray(value)) return value.every((entry) => isNeutral(name, entry));
  if (typeof value === 'object') return Object.keys(value as object).length === 0;
  // A factor of 1 changes nothing, except on the attention's scores: their usual factor is 1 / sqrt(head_dim).
  return value === 1 && /scal(e|ing)|multiplier|factor/.test(name) && !/attention|attn|query/.test(name);
}

/**
 * Refuses every field that is set and not known. A field whose value says "off" is passed over, with a line in `notes`.
 *
 * @throws KexaError KEXA_UNSUPPORTED naming the field, its value and the file.
 */
export function refuseUnknownFields(fields: ConfigFields, family: Family, notes: string[]): void {
  const known = fieldsOf(family);
  for (const name of fields.names()) {
    const value = fields.raw(name);
    if (known.has(name) || value === null || value === false) continue;
    // MLX and others write how they packed the weights where Hugging Face writes quantization_config.
    if (name === 'quantization' && !isNeutral(name, value)) {
      throw fields.unsupported(
        `quantization ${shown(value)}: weights packed by MLX are not read by this version; use the bf16 model or a GGUF file`,
      );
    }
    if (isNeutral(name, value)) {
      notes.push(`${name} ${shown(value)}: changes nothing`);
      continue;
    }
    throw fields.unsupported(
      `${name} ${shown(value)}: this version does not know what it does to ${family.modelType}, and would risk wrong answers`,
    );
  }
}

function fieldsOf(family: Family): ReadonlySet<string> {
  const lines = [...sharedFields, ...bookkeepingFields, ...Object.keys(family.aliases)];
  if (family.windows !== 'none') lines.push(...windowFields);
  if (family.mtp !== 'none') lines.push(...mtpFields);
  if (family.hasExperts) lines.push(...moeFields);
  return namesIn(lines);
}

function namesIn(lines: readonly string[]): ReadonlySet<string> {
  return new Set(lines.flatMap((line) => line.split(' ')));
}

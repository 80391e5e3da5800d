/** config.json: the model's shape, read and checked. Nothing is taken from a class default. */
import type { LayerDescription, MoeDescription, StoredShape } from '../description.js';
import { ConfigFields } from './config-fields.js';
import { readFfnKinds, readMtpWindow, readSwigluLimits, readWindows } from './config-layers.js';
import { readRope } from './config-rope.js';
import { type JsonObject, shown } from './json-file.js';
import { refuseUnknownFields } from './known-fields.js';
import { readQuantization } from './quantization-config.js';
import { readEosTokenIds, readTokenId } from './token-ids.js';

/** The content of config.json. */
export interface ConfigReading {
  /** `exaone_moe` or `exaone4`. */
  modelType: string;
  /** `mtp` is set when the config asks for the block, or leaves it open. */
  shape: StoredShape;
  /** True when an old config does not say whether there is an MTP block: its weights then decide. */
  isMtpOpen: boolean;
  bosTokenId: number | null;
  eosTokenIds: number[];
  padTokenId: number | null;
}

/** Limits that no model comes near, so that products of two of them stay exact. */
const most = {
  vocab: 2 ** 24,
  hidden: 2 ** 18,
  ffn: 2 ** 20,
  layers: 1024,
  heads: 4096,
  headDim: 2048,
  experts: 1024,
  positions: 2 ** 31 - 1,
};

const modelTypes: Readonly<Record<string, readonly string[]>> = {
  exaone_moe: ['ExaoneMoeForCausalLM', 'ExaoneMoEForCausalLM'],
  exaone4: ['Exaone4ForCausalLM'],
};

/**
 * Reads a parsed config.json; `file` names it in errors, and `notes` gets a line for each field that was passed over.
 *
 * @throws KexaError KEXA_BAD_CONFIG for a field that is missing, out of range or contradicted by another,
 *   KEXA_UNSUPPORTED for one that asks for something this version does not compute.
 */
export function readConfig(file: string, json: JsonObject, notes: string[] = []): ConfigReading {
  const fields = new ConfigFields(file, json);
  const modelType = readModelType(fields);
  refuseUnknownFields(fields, modelType, notes);
  fields.demand('attention_bias', false);
  fields.demand('mlp_bias', false);
  if (!fields.has('hidden_act')) throw fields.missing('hidden_act');
  fields.demand('hidden_act', 'silu');

  const vocabSize = fields.integer('vocab_size', 1, most.vocab);
  const shape = readShape(fields, modelType, vocabSize);
  return {
    modelType,
    shape,
    isMtpOpen: shape.mtp !== null && !fields.has('num_nextn_predict_layers'),
    bosTokenId: readTokenId(fields, 'bos_token_id', vocabSize),
    eosTokenIds: readEosTokenIds(fields, vocabSize),
    padTokenId: readTokenId(fields, 'pad_token_id', vocabSize),
  };
}

function readModelType(fields: ConfigFields): string {
  if (fields.has('text_config') || fields.has('vision_config') || fields.raw('model_type') === 'exaone4_5') {
    throw fields.unsupported(
      `model_type ${shown(fields.raw('model_type'))}: exaone4_5, a vision-language model, is not run by this version`,
    );
  }
  const modelType = fields.text('model_type');
  const wanted = Object.hasOwn(modelTypes, modelType) ? modelTypes[modelType]! : null;
  if (wanted === null) {
    throw fields.unsupported(`model_type ${shown(modelType)}: this version runs exaone_moe and exaone4`);
  }
  const found = fields.raw('architectures') ?? null;
  if (found !== null && !(Array.isArray(found) && found.length === 1 && wanted.includes(found[0]))) {
    throw fields.unsupported(
      `architectures ${shown(found)}: this version runs ${wanted.join(' or ')} for ${modelType}`,
    );
  }
  return modelType;
}

function readShape(fields: ConfigFields, modelType: string, vocabSize: number): StoredShape {
  const isMoeType = modelType === 'exaone_moe';
  const hiddenSize = fields.integer('hidden_size', 1, most.hidden);
  const heads = fields.integer('num_attention_heads', 1, most.heads);
  const kvHeads = fields.integer('num_key_value_heads', 1, most.heads);
  if (heads % kvHeads !== 0) {
    throw fields.bad(`num_attention_heads: ${heads} is not a multiple of num_key_value_heads, ${kvHeads}`);
  }
  const rope = readRope(fields);
  const layerCount = fields.integer('num_hidden_layers', 1, most.layers);
  const ffns = isMoeType ? readFfnKinds(fields, layerCount) : new Array<'dense'>(layerCount).fill('dense');
  const layers = readLayers(fields, modelType, ffns);
  const epsilon = fields.positive('rms_norm_eps', 1);
  return {
    vocabSize,
    hiddenSize,
    heads,
    kvHeads,
    headDim: readHeadDim(fields, modelType, hiddenSize, heads),
    normEpsilon: epsilon,
    normPlacement: isMoeType ? 'pre' : 'post',
    ropeTheta: rope.theta,
    ropeScaling: rope.scaling,
    ropeFactors: null,
    moe: ffns.includes('moe') ? readMoe(fields) : null,
    layers: layers.main,
    mtp: layers.mtp,
    tiedHead: fields.boolean('tie_word_embeddings'),
    maxPositions: fields.integer('max_position_embeddings', 1, most.positions),
    fp8: readQuantization(fields),
  };
}

function readHeadDim(fields: ConfigFields, modelType: string, hiddenSize: number, heads: number): number {
  let headDim: number;
  if (fields.has('head_dim')) headDim = fields.integer('head_dim', 1, most.headDim);
  // Only in EXAONE 4.0 is q as wide as the residual stream; K-EXAONE's is wider.
  else if (modelType === 'exaone4' && hiddenSize % heads === 0) headDim = hiddenSize / heads;
  else throw fields.missing('head_dim');
  if (headDim % 2 !== 0) throw fields.bad(`head_dim: wanted an even number, as RoPE rotates pairs, found ${headDim}`);
  return headDim;
}

function readLayers(
  fields: ConfigFields,
  modelType: string,
  ffns: readonly LayerDescription['ffn'][],
): { main: LayerDescription[]; mtp: LayerDescription | null } {
  const denseWidth = fields.integer('intermediate_size', 1, most.ffn);
  const expertWidth = ffns.includes('moe') ? fields.integer('moe_intermediate_size', 1, most.ffn) : 0;
  const windows = readWindows(fields, ffns.length, modelType);
  const limits = readSwigluLimits(fields, ffns.length);
  // With no sliding layer to carry positions, as in EXAONE-4.0-1.2B, every layer rotates.
  const hasSliding = windows.some((window) => window > 0);
  const layer = (ffn: LayerDescription['ffn'], window: number, swigluLimit: number): LayerDescription => ({
    window,
    rope: window > 0 || !hasSliding,
    ffn,
    ffnWidth: ffn === 'moe' ? expertWidth : denseWidth,
    swigluLimit,
  });
  const main = ffns.map((ffn, i) => layer(ffn, windows[i]!, limits[i]!));
  const mtp = hasMtp(fields, modelType) ? layer('dense', readMtpWindow(fields), limits[ffns.length]!) : null;
  return { main, mtp };
}

function hasMtp(fields: ConfigFields, modelType: string): boolean {
  // Old K-EXAONE configs leave the field out although the model has the block.
  const count = fields.optionalInteger('num_nextn_predict_layers', 0, most.layers);
  if (count !== null && count > 1) {
    throw fields.unsupported(`num_nextn_predict_layers ${count}: this version runs one MTP layer`);
  }
  return count === null ? modelType === 'exaone_moe' : count === 1;
}

function readMoe(fields: ConfigFields): MoeDescription {
  fields.demand('scoring_func', 'sigmoid');
  fields.demand('topk_method', 'noaux_tc');
  const experts = fields.integer('num_experts', 1, most.experts);
  const topK = fields.integer('num_experts_per_tok', 1, most.experts);
  const groups = fields.integer('n_group', 1, most.experts);
  const keptGroups = fields.integer('topk_group', 1, most.experts);
  if (experts % groups !== 0) throw fields.bad(`num_experts: ${experts} is not a multiple of n_group, ${groups}`);
  const perGroup = experts / groups;
  // A group is scored by the sum of its two best experts.
  if (groups > 1 && perGroup < 2)
    throw fields.bad(`n_group: ${groups} leaves one expert a group; at least 2 are wanted`);
  if (keptGroups > groups) throw fields.bad(`topk_group: ${keptGroups} is more than n_group, ${groups}`);
  if (topK > keptGroups * perGroup) {
    throw fields.bad(
      `num_experts_per_tok: ${topK} is more than the ${keptGroups * perGroup} experts in the ${keptGroups} kept groups`,
    );
  }
  return {
    experts,
    topK,
    groups,
    keptGroups,
    sharedExperts: fields.integer('num_shared_experts', 0, 64),
    normalize: fields.boolean('norm_topk_prob'),
    scale: fields.positive('routed_scaling_factor', 1e6),
  };
}

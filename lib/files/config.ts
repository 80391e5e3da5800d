/** Reads and checks the model's shape from config.json. No value is a class default of transformers. */
import type { LayerDescription, MoeDescription, StoredShape } from '../description.js';
import { ConfigFields } from './config-fields.js';
import { readFfnKinds, readSwigluLimits, readWindows } from './config-layers.js';
import { languageModelOf } from './config-part.js';
import { readRope } from './config-rope.js';
import { families, familyOf, listedWith } from './family/families.js';
import type { Family } from './family/family.js';
import { insteadOf } from './family/others.js';
import { type JsonObject, shown } from './json-file.js';
import { refuseUnknownFields } from './known-fields.js';
import { readCacheScheme } from './kv-cache-scheme.js';
import { readQuantization } from './quantized/methods.js';
import { readEosTokenIds, readTokenId } from './token-ids.js';

/** The content of config.json. */
export interface ConfigReading {
  /** Its `mtp` is set if the config asks for the MTP block, or does not say. */
  shape: StoredShape;
  /** Whether the config does not say if there is an MTP block. The weights then decide. */
  isMtpOpen: boolean;
  bosTokenId: number | null;
  eosTokenIds: number[];
  padTokenId: number | null;
  /** The KV cache that a quantiser asks for, which kexa does not use. Null if none does. */
  cacheScheme: string | null;
  /** Objects that describe parts of the model that are not run, such as `vision_config`. */
  leftOut: string[];
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

/**
 * Reads a parsed config.json. `file` is its name in errors. `notes` gets a line for each field that was passed over.
 *
 * @throws KexaError KEXA_BAD_CONFIG for a field that is missing, out of range or contradicted by another,
 *   KEXA_UNSUPPORTED for one that asks for something this version does not compute.
 */
export function readConfig(file: string, json: JsonObject, notes: string[] = []): ConfigReading {
  const family = readFamily(new ConfigFields(file, json));
  const model = languageModelOf(file, json, family.part);
  const fields = new ConfigFields(file, model.fields, '', family.aliases);
  refuseUnknownFields(fields, family, notes);
  fields.demand('attention_bias', false);
  fields.demand('mlp_bias', false);
  if (!fields.has('hidden_act')) throw fields.missing('hidden_act');
  fields.demand('hidden_act', 'silu');

  const vocabSize = fields.integer('vocab_size', 1, most.vocab);
  const shape = readShape(fields, family, vocabSize);
  return {
    shape,
    isMtpOpen: shape.mtp !== null && !fields.has('num_nextn_predict_layers'),
    bosTokenId: readTokenId(fields, 'bos_token_id', vocabSize),
    eosTokenIds: readEosTokenIds(fields, vocabSize),
    padTokenId: readTokenId(fields, 'pad_token_id', vocabSize),
    cacheScheme: readCacheScheme(fields),
    leftOut: model.leftOut,
  };
}

function readFamily(fields: ConfigFields): Family {
  const modelType = fields.text('model_type');
  const family = familyOf(modelType);
  if (family === undefined) {
    const runs = listedWith(
      'and',
      families.map((each) => each.modelType),
    );
    throw fields.unsupported(`model_type ${shown(modelType)}: this version runs ${runs}; ${insteadOf(modelType)}`);
  }
  const architectures = [...family.architectures, ...(family.part?.architectures ?? [])];
  const found = fields.raw('architectures') ?? null;
  if (found !== null && !(Array.isArray(found) && found.length === 1 && architectures.includes(found[0]))) {
    throw fields.unsupported(
      `architectures ${shown(found)}: this version runs ${listedWith('or', architectures)} for ${modelType}`,
    );
  }
  return family;
}

function readShape(fields: ConfigFields, family: Family, vocabSize: number): StoredShape {
  const hiddenSize = fields.integer('hidden_size', 1, most.hidden);
  const heads = fields.integer('num_attention_heads', 1, most.heads);
  const kvHeads = fields.integer('num_key_value_heads', 1, most.heads);
  if (heads % kvHeads !== 0) {
    throw fields.bad(`num_attention_heads: ${heads} is not a multiple of num_key_value_heads, ${kvHeads}`);
  }
  const rope = readRope(fields);
  const layerCount = fields.integer('num_hidden_layers', 1, most.layers);
  const ffns = family.hasExperts ? readFfnKinds(fields, layerCount) : new Array<'dense'>(layerCount).fill('dense');
  const layers = readLayers(fields, family, ffns);
  const epsilon = fields.positive('rms_norm_eps', 1);
  return {
    modelType: family.modelType,
    vocabSize,
    hiddenSize,
    heads,
    kvHeads,
    headDim: readHeadDim(fields, family, hiddenSize, heads),
    normEpsilon: epsilon,
    normPlacement: family.normPlacement,
    qkNorm: family.qkNorm,
    ropeTheta: rope.theta,
    ropeScaling: rope.scaling,
    ropeFactors: null,
    moe: ffns.includes('moe') ? readMoe(fields) : null,
    layers: layers.main,
    mtp: layers.mtp,
    tiedHead: fields.boolean('tie_word_embeddings'),
    maxPositions: fields.integer('max_position_embeddings', 1, most.positions),
    quantization: readQuantization(fields),
  };
}

function readHeadDim(fields: ConfigFields, { dividesHeads }: Family, hiddenSize: number, heads: number): number {
  let headDim: number;
  if (fields.has('head_dim')) headDim = fields.integer('head_dim', 1, most.headDim);
  else if (dividesHeads && hiddenSize % heads === 0) headDim = hiddenSize / heads;
  else throw fields.missing('head_dim');
  if (headDim % 2 !== 0) throw fields.bad(`head_dim: wanted an even number, as RoPE rotates pairs, found ${headDim}`);
  return headDim;
}

function readLayers(
  fields: ConfigFields,
  family: Family,
  ffns: readonly LayerDescription['ffn'][],
): { main: LayerDescription[]; mtp: LayerDescription | null } {
  const denseWidth = fields.integer('intermediate_size', 1, most.ffn);
  const expertWidth = ffns.includes('moe') ? fields.integer('moe_intermediate_size', 1, most.ffn) : 0;
  const windows = readWindows(fields, ffns.length, family, hasMtp(fields, family));
  const limits = readSwigluLimits(fields, ffns.length);
  // Without a sliding layer, as in EXAONE-4.0-1.2B, no other layer would carry the positions.
  const rotatesAll = family.rope === 'all' || windows.main.every((window) => window === 0);
  const layer = (ffn: LayerDescription['ffn'], window: number, swigluLimit: number): LayerDescription => ({
    window,
    rope: window > 0 || rotatesAll,
    ffn,
    ffnWidth: ffn === 'moe' ? expertWidth : denseWidth,
    swigluLimit,
  });
  const main = ffns.map((ffn, i) => layer(ffn, windows.main[i]!, limits[i]!));
  const mtp = windows.mtp === null ? null : layer('dense', windows.mtp, limits[ffns.length]!);
  return { main, mtp };
}

function hasMtp(fields: ConfigFields, { mtp }: Family): boolean {
  if (mtp === 'none') return false;
  const count = fields.optionalInteger('num_nextn_predict_layers', 0, most.layers);
  if (count !== null && count > 1) {
    throw fields.unsupported(`num_nextn_predict_layers ${count}: this version runs one MTP layer`);
  }
  return count === null ? mtp === 'assumed' : count === 1;
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

/**
 * The EXAONE family's forward pass in float64, written from `MODEL.md`'s mathematics and nothing else: no cache,
 * no batching, no speed. It is the oracle the core is held against, so each line should be checkable by eye.
 * Section numbers are those of the model specification. `n` is a normed row, `h` the residual stream.
 */

export interface RopeParameters {
  rope_theta?: number;
  rope_type?: string;
  factor?: number;
  low_freq_factor?: number;
  high_freq_factor?: number;
  original_max_position_embeddings?: number;
}

/** The fields of a Hugging Face `config.json` that the mathematics or a loader reads. */
export interface HfConfig {
  architectures: string[];
  model_type: 'exaone_moe' | 'exaone4' | 'exaone4_5' | 'exaone';
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  hidden_act: string;
  rms_norm_eps: number;
  max_position_embeddings: number;
  tie_word_embeddings: boolean;
  bos_token_id: number;
  eos_token_id: number;
  pad_token_id: number;
  dtype?: string;
  rope_parameters?: RopeParameters;
  rope_theta?: number;
  rope_scaling?: RopeParameters | null;
  layer_types?: string[];
  sliding_window?: number | null;
  sliding_windows?: number[];
  sliding_window_pattern?: string | null;
  mlp_layer_types?: string[];
  is_moe_layer?: boolean[];
  first_k_dense_replace?: number;
  first_last_k_dense_replace?: number;
  moe_intermediate_size?: number;
  num_experts?: number;
  num_experts_per_tok?: number;
  num_shared_experts?: number;
  n_group?: number;
  topk_group?: number;
  norm_topk_prob?: boolean;
  routed_scaling_factor?: number;
  scoring_func?: string;
  swiglu_limits?: number[];
  num_nextn_predict_layers?: number;
  mtp_layer_types?: string[];
  mtp_sliding_windows?: number[];
  mtp_num_speculative_steps?: number;
}

/** A tensor under its Hugging Face name; row-major. */
export interface HfTensor {
  shape: number[];
  data: Float64Array;
}
export type HfTensors = Map<string, HfTensor>;

/** Errors that real engines have made (section 8, point 5). A good golden must tell each of them from the truth. */
export const mutations = [
  'rope-on-global',
  'interleaved-rope',
  'window-off-by-one',
  'qk-norm-after-rope',
  'bias-in-weights',
  'no-routed-scale',
  'shared-scaled',
  'mtp-hidden-first',
  'mtp-pre-norm-hidden',
  'logits-in-16-bit',
] as const;
/** A mistake of {@link mutations}, or one that only shows far on in a context. */
export type Mutation = (typeof mutations)[number] | 'angles-in-32-bit';

/** One MoE layer's choices: `experts[row]`, best first, and the factor on each one's output. */
export interface Routes {
  layer: number;
  experts: number[][];
  weights: number[][];
}

type Row = Float64Array;
export interface Reference {
  logits: Row[];
  /** Row t proposes token t + 2 from token t + 1 and hidden row t, so there is one row fewer than tokens. */
  mtpLogits: Row[];
  /** `layers[layer][row]`: the residual stream after that layer. */
  layers: Row[][];
  /** After the final norm. */
  hidden: Row[];
  /** After the MTP block's: row t stands for hidden row t + 1. */
  mtpHidden: Row[];
  routes: Routes[];
  /** The experts that a layer would choose for another residual row than its own. */
  expertsFor(layer: number, row: Row): number[];
}

/** The keys each layer's query sees, itself included; 0 is all of them (1.1, reader rules). */
export function layerWindows(config: HfConfig): number[] {
  const pattern = config.sliding_window_pattern;
  return Array.from({ length: config.num_hidden_layers }, (_, layer) => {
    const window = config.sliding_windows?.[layer] ?? config.sliding_window ?? 0;
    if (config.layer_types) return config.layer_types[layer] === 'sliding_attention' ? window : 0;
    if (config.sliding_windows || !pattern) return window;
    return pattern[layer % pattern.length] === 'L' ? window : 0;
  });
}

/** The keys that the MTP block's query sees; 0 is all. EXAONE 4.5's block is another first layer, or is listed last. */
function mtpWindow(config: HfConfig): number {
  const listed = config.layer_types?.[config.num_hidden_layers] ?? config.layer_types?.[0];
  const type = config.mtp_layer_types?.[0] ?? (config.model_type === 'exaone4_5' ? listed : undefined);
  return type === 'sliding_attention' ? (config.mtp_sliding_windows?.[0] ?? config.sliding_window)! : 0;
}

/** Whether norms stand behind attention and FFN: EXAONE 4.0 and 4.5. */
export function hasPostNorm({ model_type: type }: HfConfig): boolean {
  return type === 'exaone4' || type === 'exaone4_5';
}

/** Whether a layer's FFN is a mixture of experts (1.1, reader rules). */
export function isMoeLayer(config: HfConfig, layer: number): boolean {
  if (config.model_type !== 'exaone_moe') return false;
  if (config.mlp_layer_types) return config.mlp_layer_types[layer] === 'sparse';
  if (config.is_moe_layer) return config.is_moe_layer[layer]!;
  return layer >= (config.first_k_dense_replace ?? config.first_last_k_dense_replace)!;
}

/** Radians per position of each rotated pair (2.3, 7.1): theta^(-2i/d), stretched as in Llama 3.1 where asked. */
export function ropeFrequencies(config: HfConfig): number[] {
  const rope = config.rope_parameters ?? { rope_theta: config.rope_theta!, ...config.rope_scaling };
  return Array.from({ length: config.head_dim / 2 }, (_, i) => {
    const frequency = rope.rope_theta! ** ((-2 * i) / config.head_dim);
    if (rope.rope_type !== 'llama3') return frequency;
    const [low, high] = [rope.low_freq_factor!, rope.high_freq_factor!];
    const turns = (rope.original_max_position_embeddings! * frequency) / (2 * Math.PI); // in the original context
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low))); // 1: fast, kept; 0: slow, divided
    return kept * frequency + ((1 - kept) * frequency) / rope.factor!;
  });
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

export function roundToBf16(value: number): number {
  float[0] = value;
  const bits = floatBits[0]!;
  floatBits[0] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000; // to nearest, ties to even
  return float[0];
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
function dot(a: Row, b: Row): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const add = (a: Row, b: Row) => a.map((value, i) => value + b[i]!);
const concat = (a: Row, b: Row) => Float64Array.from([...a, ...b]);

/** The `count` largest of `candidates` by `score`, best first. */
function largest(candidates: number[], count: number, score: (i: number) => number): number[] {
  return [...candidates].sort((a, b) => score(b) - score(a)).slice(0, count);
}

/** Computes only a part, for long contexts. */
export interface ReferencePart {
  /** The position of `ids[0]`; what stood before it is not seen. Default 0. */
  origin?: number;
  /** The rows wanted of the last layer on; the others are wrong there. Default all. */
  rows?: ReadonlySet<number>;
}

export function reference(
  config: HfConfig,
  tensors: HfTensors,
  ids: number[],
  mutation?: Mutation,
  { origin = 0, rows: wantedRows }: ReferencePart = {},
): Reference {
  const is = (wrong: Mutation) => mutation === wrong;
  const { head_dim: headDim, num_attention_heads: heads, rms_norm_eps: epsilon } = config;
  const queriesPerKv = heads / config.num_key_value_heads;
  const postNorm = hasPostNorm(config);
  const frequencies = ropeFrequencies(config);
  const windows = layerWindows(config);
  const noneSlides = windows.every((window) => window === 0);
  const routes: Routes[] = [];

  const get = (name: string): HfTensor => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`the model has no ${name}`);
    return tensor;
  };

  function linear(name: string, x: Row): Row {
    const { shape, data } = get(name);
    const [outputs, inputs] = shape as [number, number];
    if (inputs !== x.length) throw new Error(`${name} takes ${inputs} inputs, not ${x.length}`);
    const y = new Float64Array(outputs);
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += data[o * inputs + i]! * x[i]!;
      y[o] = sum;
    }
    return y;
  }

  function rms(x: Row, name: string): Row {
    const gain = get(name).data;
    const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / x.length;
    return x.map((value, i) => (gain[i]! * value) / Math.sqrt(meanSquare + epsilon));
  }

  /** Rotates one head: pair i is (i, i + d/2), not (2i, 2i + 1). */
  function rope(x: Row, position: number): Row {
    const y = new Float64Array(x.length);
    for (const [i, frequency] of frequencies.entries()) {
      const [a, b] = is('interleaved-rope') ? [2 * i, 2 * i + 1] : [i, i + headDim / 2];
      const angle = is('angles-in-32-bit')
        ? Math.fround(Math.fround(position) * Math.fround(frequency))
        : position * frequency;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      y[a] = x[a]! * cos - x[b]! * sin;
      y[b] = x[b]! * cos + x[a]! * sin;
    }
    return y;
  }

  /** 2.3, 2.4: causal attention over `rows`, whose positions are 0, 1, 2, …; not yet added to the residual. */
  function attention(prefix: string, rows: Row[], window: number): Row[] {
    const isLast = prefix === `model.layers.${config.num_hidden_layers - 1}.self_attn`;
    const rotates = window > 0 || noneSlides || is('rope-on-global');
    const span = window > 0 && is('window-off-by-one') ? window + 1 : window;
    const turn = (x: Row, position: number) => (rotates ? rope(x, origin + position) : x);
    const head = (x: Row, j: number) => x.subarray(j * headDim, (j + 1) * headDim);
    const normedHeads = (name: string, x: Row, position: number) =>
      Array.from({ length: x.length / headDim }, (_, j) =>
        config.model_type === 'exaone' // has no norm of q and k
          ? turn(head(x, j), position)
          : is('qk-norm-after-rope')
            ? rms(turn(head(x, j), position), `${prefix}.${name}.weight`)
            : turn(rms(head(x, j), `${prefix}.${name}.weight`), position),
      );
    const q = rows.map((n, t) => normedHeads('q_norm', linear(`${prefix}.q_proj.weight`, n), t));
    const k = rows.map((n, t) => normedHeads('k_norm', linear(`${prefix}.k_proj.weight`, n), t));
    const v = rows.map((n) => linear(`${prefix}.v_proj.weight`, n));
    return rows.map((row, t) => {
      if (isLast && wantedRows !== undefined && !wantedRows.has(t)) return new Float64Array(row.length);
      const first = span > 0 ? Math.max(0, t - span + 1) : 0; // keys first … t, both included
      const mixed = new Float64Array(heads * headDim);
      for (let j = 0; j < heads; j++) {
        const kv = Math.floor(j / queriesPerKv);
        const scores: number[] = [];
        for (let s = first; s <= t; s++) {
          scores.push(dot(q[t]![j]!, k[s]![kv]!) / Math.sqrt(headDim));
        }
        const top = scores.reduce((most, score) => Math.max(most, score)); // a long context has too many arguments
        const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
        for (const [offset, score] of scores.entries()) {
          const value = head(v[first + offset]!, kv);
          const share = Math.exp(score - top) / total;
          for (let i = 0; i < headDim; i++) mixed[j * headDim + i]! += share * value[i]!;
        }
      }
      return linear(`${prefix}.o_proj.weight`, mixed);
    });
  }

  /** 2.5, 7.4: down(silu(gate) * up), the gate capped from above and up on both sides where there is a limit. */
  function swiglu(prefix: string, n: Row, limit: number): Row {
    const bound = limit || Infinity;
    const gate = linear(`${prefix}.gate_proj.weight`, n).map((x) => Math.min(x, bound));
    const up = linear(`${prefix}.up_proj.weight`, n).map((x) => Math.max(-bound, Math.min(x, bound)));
    const inner = gate.map((x, i) => x * sigmoid(x) * up[i]!);
    return linear(`${prefix}.down_proj.weight`, inner);
  }

  /** 2.6: which experts a row goes to and with what weight. The bias takes part in the choice only. */
  function route(prefix: string, n: Row): { experts: number[]; weights: number[] } {
    const scores = linear(`${prefix}.gate.weight`, n).map(sigmoid);
    const biased = add(scores, get(`${prefix}.e_score_correction_bias`).data);
    const groups = config.n_group ?? 1;
    const all = [...biased.keys()];
    const members = (group: number) => all.filter((e) => Math.floor((e * groups) / all.length) === group);
    const groupScore = (group: number) =>
      largest(members(group), 2, (e) => biased[e]!).reduce((sum, e) => sum + biased[e]!, 0);
    const kept = largest([...Array(groups).keys()], config.topk_group ?? 1, groupScore);
    const experts = largest(kept.flatMap(members), config.num_experts_per_tok!, (e) => biased[e]!);
    const chosen = experts.map((e) => (is('bias-in-weights') ? biased : scores)[e]!);
    const total = config.norm_topk_prob === false ? 1 : chosen.reduce((sum, score) => sum + score, 0) + 1e-20;
    const scale = is('no-routed-scale') ? 1 : config.routed_scaling_factor!;
    return { experts, weights: chosen.map((score) => (score / total) * scale) };
  }

  /** 2.6: the weighted routed experts plus the shared expert, which is neither gated nor scaled. */
  function moe(prefix: string, n: Row, limit: number, record: Routes): Row {
    const { experts, weights } = route(prefix, n);
    record.experts.push(experts);
    record.weights.push(weights);
    let y: Row = new Float64Array(n.length);
    for (const [i, e] of experts.entries()) {
      const weighted = swiglu(`${prefix}.experts.${e}`, n, limit).map((value) => weights[i]! * value);
      y = add(y, weighted);
    }
    if (!config.num_shared_experts) return y;
    const shared = swiglu(`${prefix}.shared_experts`, n, limit);
    return add(y, is('shared-scaled') ? shared.map((value) => value * config.routed_scaling_factor!) : shared);
  }

  /** 2.2 (norm on what a branch reads) or 7.2 (norm on what a branch adds). */
  function decoderLayer(prefix: string, h: Row[], window: number, ffn: (n: Row) => Row): Row[] {
    const norm = (name: string) => (x: Row) => rms(x, `${prefix}.${name}.weight`);
    if (postNorm) {
      const attended = attention(`${prefix}.self_attn`, h, window).map(norm('post_attention_layernorm'));
      const x = h.map((row, t) => add(row, attended[t]!));
      return x.map((row) => add(row, norm('post_feedforward_layernorm')(ffn(row))));
    }
    const attended = attention(`${prefix}.self_attn`, h.map(norm('input_layernorm')), window);
    const x = h.map((row, t) => add(row, attended[t]!));
    return x.map((row) => add(row, ffn(norm('post_attention_layernorm')(row))));
  }

  const embed = (id: number): Row => {
    const { shape, data } = get('model.embed_tokens.weight');
    return data.slice(id * shape[1]!, (id + 1) * shape[1]!);
  };
  const head = (n: Row) => {
    const logits = linear(config.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight', n);
    return is('logits-in-16-bit') ? logits.map(roundToBf16) : logits;
  };

  // 2.1 to 2.7: the model.
  let h = ids.map(embed);
  const layers: Row[][] = [];
  for (const [layer, window] of windows.entries()) {
    const prefix = `model.layers.${layer}`;
    const limit = config.swiglu_limits?.[layer] ?? 0;
    const record: Routes = { layer, experts: [], weights: [] };
    const sparse = isMoeLayer(config, layer);
    h = decoderLayer(prefix, h, window, (n) =>
      sparse ? moe(`${prefix}.mlp`, n, limit, record) : swiglu(`${prefix}.mlp`, n, limit),
    );
    layers.push(h);
    if (sparse) routes.push(record);
  }
  const hidden = h.map((row) => rms(row, 'model.norm.weight'));

  // 3.2: the MTP block, fed the model's hidden rows and each next token.
  let mtpHidden: Row[] = [];
  if (tensors.has('mtp.fc.weight')) {
    const window = mtpWindow(config);
    const u = ids.slice(1).map((next, t) => {
      const token = rms(embed(next), 'mtp.pre_fc_norm_embedding.weight');
      const state = rms((is('mtp-pre-norm-hidden') ? h : hidden)[t]!, 'mtp.pre_fc_norm_hidden.weight');
      return linear('mtp.fc.weight', is('mtp-hidden-first') ? concat(state, token) : concat(token, state));
    });
    const out = decoderLayer('mtp.layers.0', u, window, (n) => swiglu('mtp.layers.0.mlp', n, 0));
    mtpHidden = out.map((row) => rms(row, 'mtp.norm.weight'));
  }
  const expertsFor = (layer: number, row: Row) =>
    route(`model.layers.${layer}.mlp`, rms(row, `model.layers.${layer}.post_attention_layernorm.weight`)).experts;
  return { logits: hidden.map(head), mtpLogits: mtpHidden.map(head), layers, hidden, mtpHidden, routes, expertsFor };
}

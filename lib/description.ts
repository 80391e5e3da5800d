/**
 * The description of a model: the result of reading and checking its metadata, and all that crosses into C++ before the
 * weights are mapped. The core does not check its meaning again. `native/model/description.h` has the same fields under
 * the same words: `hiddenSize` here is `hidden_size` there.
 */
import type { folderBlockTypes, ggufBlockTypes } from './block-types.js';

/** How a tensor's elements are stored: one by one, in FP8 with scales beside them, or in blocks. */
export type TensorType = 'f32' | 'f16' | 'bf16' | 'f8_e4m3' | QuantizedType;

/** The types of blocks: GGUF's, by their names there, and those that the core makes of a folder's codes. */
export type QuantizedType = keyof typeof ggufBlockTypes | keyof typeof folderBlockTypes;

/** Where one tensor's bytes are. */
export interface TensorEntry {
  /**
   * The core's own name for it, whatever the file calls it:
   * `embed` `norm` `head`, `layers.N.` + one of `attention_norm` `ffn_norm` `q` `k` `v` `o` `q_norm` `k_norm`
   * and `gate` `up` `down` (dense) or `router` `router_bias` `experts.E.{gate,up,down}` `shared.{gate,up,down}` (MoE);
   * `mtp.embedding_norm` `mtp.hidden_norm` `mtp.fc` `mtp.norm` and `mtp.layer.` + the same names.
   * `head` is absent when the head is tied to the embedding.
   */
  name: string;
  /** Index into {@link ModelDescription.files}. */
  file: number;
  /** First byte, counted from the start of the file. */
  offset: number;
  bytes: number;
  type: TensorType;
  /**
   * The type that the tensor is converted to when it is loaded. Absent: the option `weights` decides, as for all
   * tensors.
   */
  held?: TensorType;
  /** Row-major, `[outputs, inputs]` for matrices, as stored. */
  shape: number[];
  /** The scales of an f8_e4m3 matrix. Absent for other types. */
  scales?: TensorScales;
  /**
   * How a matrix lies in its file that is repacked when it is loaded: `type` and `bytes` are those of the result,
   * `file` and `offset` the place of the codes. Absent for a matrix that is used as it is stored.
   */
  packed?: PackedSource;
}

/** A stored tensor that belongs to a packed matrix. */
export interface PackedPlace {
  /** The name in the file. */
  name: string;
  /** Index into {@link ModelDescription.files}. */
  file: number;
  /** First byte, counted from the start of the file. */
  offset: number;
}

/**
 * A matrix in int4, int8 or fp4. PackedMatrix in native/quant/packed.h explains the layouts and has the same fields.
 */
export interface PackedSource {
  codeBytes: number;
  scales: PackedPlace;
  zeros?: PackedPlace;
  /** i32 [inputs]: the group of each column. Absent if they are in order. */
  groupIndex?: PackedPlace;
  /** f32, a factor on all scales. */
  factor?: PackedPlace;
  /** i64 [2], which must say [outputs, inputs]. */
  weightShape?: PackedPlace;
  /** Whether the scales are divided by the factor. */
  dividesByFactor: boolean;
  bits: 4 | 8;
  /** Whether the codes are E2M1, not whole numbers. */
  isFloat: boolean;
  /** Columns that share a scale. */
  groupSize: number;
  /** Whether the whole matrix shares one scale. */
  hasOneScale: boolean;
  /** The rows of the stored tensors, and which of them is the matrix's first: experts can be stacked. */
  storedRows: number;
  firstRow: number;
  codeLayout: 'rows' | 'signed' | 'gptq' | 'awq';
  scaleFormat: 'f32' | 'f16' | 'bf16' | 'e4m3' | 'e8m0';
  zeroLayout: 'middle' | 'rows' | 'signed' | 'gptq' | 'gptq less one' | 'awq';
}

/**
 * The scales of an f8_e4m3 matrix: a row-major grid of factors, each for a block of the matrix. Blocks at the right and
 * lower edge may be cut off.
 */
export interface TensorScales {
  /** The name of the scales' tensor in the file. */
  name: string;
  /** Index into {@link ModelDescription.files}. */
  file: number;
  /** First byte of the first scale that the matrix needs, counted from the start of the file. */
  offset: number;
  type: 'f32' | 'f16' | 'bf16';
  blockRows: number;
  blockColumns: number;
  /** The rows of the first block that belong to another matrix: fused experts share blocks. */
  skippedRows: number;
}

/**
 * Which weights share a scale: a block of 128 x 128 weights, successive weights of a row (a group), the weights of one
 * output (a row), or the whole matrix.
 *
 * @example
 * const { groups } = model.config.quantization!;
 * const strategies = groups.map(({ format }): ScaleStrategy => format.strategy); // ['group']
 */
export type ScaleStrategy = 'block' | 'group' | 'channel' | 'tensor';

/**
 * How a publisher stores matrices in fewer bits. The names are those of compressed-tensors, but for `fp8`, `awq`
 * (AutoAWQ's gemm), `gptq`, `gptq_v2`, and `nvfp4` (that of NVIDIA's modelopt).
 *
 * @example
 * const { name, bits, groupSize } = model.config.quantization!.groups[0]!.format;
 * console.log(`${name}: ${bits} bits, a scale for ${groupSize} weights`);
 */
export interface WeightFormat {
  readonly name:
    | 'fp8'
    | 'pack-quantized'
    | 'int-quantized'
    | 'awq'
    | 'gptq'
    | 'gptq_v2'
    | 'nvfp4-pack-quantized'
    | 'nvfp4'
    | 'mxfp4-pack-quantized';
  readonly bits: 4 | 8;
  readonly strategy: ScaleStrategy;
  /** The weights of a group. Null for other strategies. */
  readonly groupSize: number | null;
  /** Whether zero is the middle of the codes. If not, zero points are stored. */
  readonly isSymmetric: boolean;
  /** Whether a group may be columns that are not side by side (`desc_act`, `actorder`). */
  readonly isReordered: boolean;
}

/**
 * How config.json says that matrices are stored.
 *
 * @example
 * if (model.config.quantization !== null) console.log('stored whole:', model.config.quantization.ignored);
 */
export interface QuantizationScheme {
  /** The first group whose targets name a matrix, or its class, says how the matrix is stored. */
  readonly groups: readonly { readonly targets: readonly string[]; readonly format: WeightFormat }[];
  /** Modules that are stored in bf16 or another plain type: their names, or patterns after `re:`. */
  readonly ignored: readonly string[];
  /**
   * How an ignored name is meant. `part`: it also stands for the modules below it, and may leave out the names of those
   * above. `wildcard`: the whole name, in which `*` and `?` stand for others.
   */
  readonly ignoredBy: 'name' | 'part' | 'wildcard';
}

/**
 * The switches of one decoder layer.
 *
 * @example
 * const sliding = model.config.layers.filter(({ window }) => window > 0).length;
 */
export interface LayerDescription {
  /** The number of keys that a query sees, its own included. 0 is global attention. */
  window: number;
  /** Whether q and k are rotated. K-EXAONE rotates on sliding layers only. */
  rope: boolean;
  ffn: 'dense' | 'moe';
  /** The inner width of the dense FFN, or of one routed expert of a MoE layer. */
  ffnWidth: number;
  /** The SwiGLU clamp: gate is capped at +limit, up is clamped to ±limit. 0 is off. */
  swigluLimit: number;
}

/**
 * How the experts of the MoE layers are chosen and weighed. It is the same in all MoE layers.
 *
 * @example
 * const { moe } = model.config;
 * if (moe !== null) console.log(`${moe.topK} of ${moe.experts} experts a token`);
 */
export interface MoeDescription {
  experts: number;
  /** Experts chosen for each token. */
  topK: number;
  /** Experts are split into `groups` equal runs, of which the best `keptGroups` may be chosen from. */
  groups: number;
  keptGroups: number;
  /** Shared experts, stored as one FFN of width `sharedExperts * width`; 0 is none. */
  sharedExperts: number;
  /** Whether the chosen scores are divided by their sum. */
  normalize: boolean;
  /** Factor on the routed (not the shared) experts' sum. */
  scale: number;
}

/**
 * llama3 RoPE scaling, as in Llama 3.1: low frequencies divided by `factor`, with a smooth blend between.
 *
 * @example
 * console.log(model.config.ropeScaling?.factor ?? 'not scaled');
 */
export interface RopeScaling {
  factor: number;
  lowFreqFactor: number;
  highFreqFactor: number;
  originalMaxPositions: number;
}

/**
 * All that the core is told of a model. {@link ModelConfig} has the same fields but `files` and `tensors`.
 *
 * @example
 * const { hiddenSize, heads, kvHeads, headDim } = model.config;
 */
export interface ModelDescription {
  vocabSize: number;
  hiddenSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Added to the mean square before the root. */
  normEpsilon: number;
  /** 'pre' normalises what a sub-layer reads (K-EXAONE), 'post' what it adds (EXAONE 4.0). */
  normPlacement: 'pre' | 'post';
  /** Whether each head of q and k is normalised before it is rotated. */
  qkNorm: boolean;
  ropeTheta: number;
  /** Null if positions are not scaled. */
  ropeScaling: RopeScaling | null;
  /**
   * The divisors of the rotated pairs' frequencies [headDim / 2]: a GGUF file's `rope_freqs`. Null: `ropeScaling`
   * decides.
   */
  ropeFactors: readonly number[] | null;
  /** Null if no layer is MoE. */
  moe: MoeDescription | null;
  layers: LayerDescription[];
  /** The decoder layer of the multi-token-prediction block. Null if the model has no such block. */
  mtp: LayerDescription | null;
  /** Whether the head is the embedding's transpose. */
  tiedHead: boolean;
  /** The longest sequence the model was made for, in tokens. */
  maxPositions: number;
  /** Absolute paths. */
  files: string[];
  tensors: TensorEntry[];
}

/** A description without its files: all that config.json alone can tell. */
export type ModelShape = Omit<ModelDescription, 'files' | 'tensors'>;

/** The same, with how the weights are stored. */
export interface StoredShape extends ModelShape {
  /** The value in config.json, which is the `modelType` of a family in lib/files/family/. */
  modelType: string;
  /** Null if all weights are stored in plain types. */
  quantization: QuantizationScheme | null;
}

/** The ops of a step by name, as native/device/ops.h has them. */

/**
 * In the order in which a step calls them; `draft_input` is part of the MTP block's steps alone.
 *
 * - `small`, `large`: whether the op's kernels for small steps, and for large ones, are written in two ways of which
 *   tuning chooses one. Ways differ by rounding. All small steps share one way, because a row's bits must not depend on the rows
 *   beside it.
 * - `hasMatrices`: whether subgroup matrices compute the op's products in large steps, with `gpuKernels: 'matrices'`.
 */
export const ops = {
  embed: { small: false, large: false, hasMatrices: false },
  attention_input: { small: true, large: true, hasMatrices: true },
  attention: { small: true, large: true, hasMatrices: false },
  attention_output: { small: true, large: false, hasMatrices: true },
  dense_ffn: { small: true, large: false, hasMatrices: false },
  route: { small: true, large: true, hasMatrices: false },
  experts: { small: true, large: false, hasMatrices: false },
  final_norm: { small: true, large: false, hasMatrices: false },
  head: { small: true, large: false, hasMatrices: false },
  choose: { small: false, large: false, hasMatrices: false },
  draft_input: { small: true, large: false, hasMatrices: true },
} as const;

/**
 * The name of one op of a device.
 *
 * @example
 * const { results } = await benchmarkOps('models/tiny', { ops: ['attention', 'head'], device: 'cpu' });
 */
export type OpName = keyof typeof ops;
export const opNames = Object.keys(ops) as readonly OpName[];

/** An op whose kernels tuning chooses. ` large` stands for its kernels of large steps. */
export type TunedOp = OpName | `${OpName} large`;
export const tunedOps: readonly TunedOp[] = [
  ...opNames.filter((op) => ops[op].small),
  ...opNames.filter((op) => ops[op].large).map((op): TunedOp => `${op} large`),
];

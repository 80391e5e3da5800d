/**
 * The types that weights are stored in, in files and in memory. native/base/types.inc is the core's own list of them;
 * test/quant/types.test.ts compares the two. This is the one place where TypeScript names them.
 */

export interface BlockType {
  /** The type's number in GGUF files, as ggml's public header gives it; -1 for a type that no such file has. */
  readonly id: number;
  /** Elements of a row that are stored together. */
  readonly elements: number;
  /** Bytes of one block. */
  readonly bytes: number;
}

/** The types whose elements stand alone. */
export const elementTypes = {
  f32: { id: 0, elements: 1, bytes: 4 },
  f16: { id: 1, elements: 1, bytes: 2 },
  bf16: { id: 30, elements: 1, bytes: 2 },
} as const;

/** The types of blocks that GGUF defines, by their names there. */
export const ggufBlockTypes = {
  q4_0: { id: 2, elements: 32, bytes: 18 },
  q4_1: { id: 3, elements: 32, bytes: 20 },
  q5_0: { id: 6, elements: 32, bytes: 22 },
  q5_1: { id: 7, elements: 32, bytes: 24 },
  q8_0: { id: 8, elements: 32, bytes: 34 },
  q2_k: { id: 10, elements: 256, bytes: 84 },
  q3_k: { id: 11, elements: 256, bytes: 110 },
  q4_k: { id: 12, elements: 256, bytes: 144 },
  q5_k: { id: 13, elements: 256, bytes: 176 },
  q6_k: { id: 14, elements: 256, bytes: 210 },
  iq2_xxs: { id: 16, elements: 256, bytes: 66 },
  iq2_xs: { id: 17, elements: 256, bytes: 74 },
  iq2_s: { id: 22, elements: 256, bytes: 82 },
  iq3_xxs: { id: 18, elements: 256, bytes: 98 },
  iq3_s: { id: 21, elements: 256, bytes: 110 },
  iq1_s: { id: 19, elements: 256, bytes: 50 },
  iq1_m: { id: 29, elements: 256, bytes: 56 },
  iq4_nl: { id: 20, elements: 32, bytes: 18 },
  iq4_xs: { id: 23, elements: 256, bytes: 136 },
  mxfp4: { id: 39, elements: 32, bytes: 17 },
  nvfp4: { id: 40, elements: 64, bytes: 36 },
  tq2_0: { id: 35, elements: 256, bytes: 66 },
  tq1_0: { id: 34, elements: 256, bytes: 54 },
} as const;

/**
 * The types of blocks that the core makes at load, of the codes, scales and zero points of a folder in int4, int8 or
 * fp4. No GGUF file has them.
 */
export const folderBlockTypes = {
  int4_128: { id: -1, elements: 128, bytes: 72 },
  int4_32: { id: -1, elements: 32, bytes: 24 },
  int8_128: { id: -1, elements: 128, bytes: 136 },
  int8_32: { id: -1, elements: 32, bytes: 40 },
  fp4_64: { id: -1, elements: 64, bytes: 40 },
} as const;

/** Types of GGUF that the core does not read, so that an error can name them. */
export const unreadTypes: Readonly<Record<number, string>> = {
  9: 'q8_1',
  15: 'q8_k',
  24: 'i8',
  25: 'i16',
  26: 'i32',
  27: 'i64',
  28: 'f64',
};

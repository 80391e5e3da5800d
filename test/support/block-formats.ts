/**
 * The values of blocks of every type, by a decoder of the tests' own: element by element from the format's formulas.
 * The core's readers are compared with it. Each type has one record here, from which all tests of types take what they
 * need.
 */
import { createRequire } from 'node:module';
import type { QuantizedType } from '../../lib/description.js';
import { blockTypes } from '../../lib/files/gguf/gguf-types.js';

export interface BlockFormat {
  /** Where a block's f16 scales are, in bytes: its scale, then that of its minima. */
  readonly scales: readonly number[];
  /** About the largest magnitude of a code, times the largest scale within the block. */
  readonly size: number;
  /** Minima are added, or they are subtracted after multiplying by at most as much. Absent: the type has no minima. */
  readonly minima?: 'added' | number;
  /** For scales that are not f16: gives `block` random ones such that `size` of them is about `size * target`. */
  giveScale?(block: Uint8Array, target: number, next: () => number): void;
  /**
   * The largest error of quantising normal values: the root of the mean squared error, relative to their size. Absent:
   * kexa does not quantise to this type.
   */
  readonly error?: number;
  /** Whether the CPU device multiplies the type by rounded activations in whole numbers. */
  readonly isRounded?: true;
  /** Element `e` of a block, exact in double. */
  element(b: Block, e: number): number;
}

/** One block: bit n is bit n % 8 of byte n / 8. */
export class Block {
  constructor(readonly bytes: Uint8Array) {}
  /** At most 24 bits, the first one lowest. */
  bits(first: number, count: number): number {
    const at = first >> 3;
    let value = 0;
    for (let i = 3; i >= 0; i--) value = (value << 8) | (this.bytes[at + i] ?? 0);
    return (value >>> (first & 7)) & ((1 << count) - 1);
  }
  byte(at: number): number {
    return this.bytes[at]!;
  }
  /** Nibble n of the bytes from `at` on, the lower half of a byte first. */
  nibble(at: number, n: number): number {
    return this.bits(at * 8 + n * 4, 4);
  }
  signed(at: number): number {
    return (this.bytes[at]! << 24) >> 24;
  }
  f16(at: number): number {
    return f16Values[this.bits(at * 8, 16)]!;
  }
  f32 = (at: number) => new DataView(this.bytes.buffer, this.bytes.byteOffset).getFloat32(at, true);
  /** The code of element e in blocks of 32: the lower halves of 16 bytes, then their upper halves. */
  code32(at: number, e: number): number {
    return this.bits((at + (e % 16)) * 8 + (e < 16 ? 0 : 4), 4);
  }
}

/** The values of all f16 numbers, by their bits. */
const f16Values = Float64Array.from({ length: 2 ** 16 }, (_, bits) => {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
});

const iq4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const e2m1 = (code: number) => {
  const exponent = (code >> 1) & 3;
  const magnitude = exponent ? 2 ** (exponent - 1) * (1 + (code & 1) / 2) : (code & 1) / 2;
  return code >= 8 && magnitude ? -magnitude : magnitude;
};

/** A scale in E4M3 whose sign is ignored; the code of NaN counts as 0. */
function ue4m3(bits: number): number {
  const [exponent, fraction] = [(bits >> 3) & 15, (bits & 7) / 8];
  return bits === 127 ? 0 : exponent ? 2 ** (exponent - 7) * (1 + fraction) : 2 ** -6 * fraction;
}

/** The record of codes of `bits` bits with a scale and a zero point. */
function intFormat(bits: 4 | 8): BlockFormat {
  return {
    scales: [],
    size: 2 ** bits,
    isRounded: true,
    giveScale(block, target, next) {
      const view = new DataView(block.buffer, block.byteOffset);
      view.setFloat32(0, (next() < 0.5 ? -1 : 1) * target * (0.5 + next()), true);
      view.setUint32(4, Math.floor(next() * (2 ** bits + 1)), true);
    },
    element: (b, e) =>
      b.f32(0) * ((bits === 8 ? b.byte(8 + e) : b.code32(8 + (e >> 5) * 16, e % 32)) - b.bits(4 * 8, 16)),
  };
}

/** Scale and minimum of a group in q4_k and q5_k: 6 bits each, in the 12 bytes from byte 4 on. */
function scaleAndMin(b: Block, group: number): [number, number] {
  if (group < 4) return [b.bits((4 + group) * 8, 6), b.bits((8 + group) * 8, 6)];
  const lower = (half: number) => b.nibble(12, (group - 4) * 2 + half);
  return [lower(0) + 16 * b.bits(group * 8 + 6, 2), lower(1) + 16 * b.bits((4 + group) * 8 + 6, 2)];
}
function affine(b: Block, group: number, code: number): number {
  const [scale, min] = scaleAndMin(b, group);
  return b.f16(0) * scale * code - b.f16(2) * min;
}

/** Sign k of 8: seven are stored, the eighth makes the minuses an even number. */
function sign(b: Block, first: number, k: number): number {
  if (k < 7) return b.bits(first + k, 1) ? -1 : 1;
  let product = 1;
  for (let i = 0; i < 7; i++) product *= b.bits(first + i, 1) ? -1 : 1;
  return product;
}

export const blockFormats: Readonly<Record<QuantizedType, BlockFormat>> = {
  q4_0: {
    scales: [0],
    size: 8,
    error: 0.082,
    isRounded: true,
    element: (b, e) => b.f16(0) * (b.code32(2, e) - 8),
  },
  q4_1: {
    scales: [0, 2],
    size: 15,
    minima: 'added',
    error: 0.074,
    element: (b, e) => b.f16(0) * b.code32(4, e) + b.f16(2),
  },
  q5_0: {
    scales: [0],
    size: 16,
    error: 0.04,
    isRounded: true,
    element: (b, e) => b.f16(0) * (b.code32(6, e) + 16 * b.bits(16 + e, 1) - 16),
  },
  q5_1: {
    scales: [0, 2],
    size: 31,
    minima: 'added',
    error: 0.036,
    element: (b, e) => b.f16(0) * (b.code32(8, e) + 16 * b.bits(32 + e, 1)) + b.f16(2),
  },
  q8_0: {
    scales: [0],
    size: 128,
    error: 0.005,
    isRounded: true,
    element: (b, e) => b.f16(0) * b.signed(2 + e),
  },
  q2_k: {
    scales: [80, 82],
    size: 45,
    minima: 15,
    error: 0.265,
    element(b, e) {
      const code = b.bits((16 + (e >> 7) * 32 + (e % 32)) * 8 + ((e >> 5) & 3) * 2, 2);
      const [scale, min] = [b.nibble(0, (e >> 4) * 2), b.nibble(0, (e >> 4) * 2 + 1)];
      return b.f16(80) * scale * code - b.f16(82) * min;
    },
  },
  q3_k: {
    scales: [108],
    size: 128,
    error: 0.145,
    isRounded: true,
    element(b, e) {
      const lower = b.bits((32 + (e >> 7) * 32 + (e % 32)) * 8 + ((e >> 5) & 3) * 2, 2);
      const code = lower - (b.bits((e % 32) * 8 + (e >> 5), 1) ? 0 : 4);
      const group = e >> 4;
      const scale =
        b.bits((96 + (group % 8)) * 8 + (group < 8 ? 0 : 4), 4) +
        16 * b.bits((104 + (group % 4)) * 8 + (group >> 2) * 2, 2);
      return b.f16(108) * (scale - 32) * code;
    },
  },
  q4_k: {
    scales: [0, 2],
    size: 945,
    minima: 63,
    error: 0.07,
    isRounded: true,
    element: (b, e) => affine(b, e >> 5, b.bits((16 + (e >> 6) * 32 + (e % 32)) * 8 + ((e >> 5) & 1) * 4, 4)),
  },
  q5_k: {
    scales: [0, 2],
    size: 1953,
    minima: 63,
    error: 0.035,
    isRounded: true,
    element(b, e) {
      const lower = b.bits((48 + (e >> 6) * 32 + (e % 32)) * 8 + ((e >> 5) & 1) * 4, 4);
      return affine(b, e >> 5, lower + 16 * b.bits((16 + (e % 32)) * 8 + (e >> 5), 1));
    },
  },
  q6_k: {
    scales: [208],
    size: 4096,
    error: 0.017,
    isRounded: true,
    element(b, e) {
      const lower = b.bits(((e >> 7) * 64 + (e % 64)) * 8 + ((e >> 6) & 1) * 4, 4);
      const upper = b.bits((128 + (e >> 7) * 32 + (e % 32)) * 8 + ((e >> 5) & 3) * 2, 2);
      return b.f16(208) * b.signed(192 + (e >> 4)) * (lower + 16 * upper - 32);
    },
  },
  iq2_xxs: {
    scales: [0],
    size: 167,
    error: 0.331,
    element(b, e) {
      const at = 2 + (e >> 5) * 8;
      const scale = b.f16(0) * (0.5 + b.bits(at * 8 + 60, 4)) * 0.25;
      const magnitude = gridOf('iq2_xxs')[b.byte(at + ((e >> 3) & 3)) * 8 + (e & 7)] ?? 0;
      return scale * magnitude * sign(b, (at + 4) * 8 + ((e >> 3) & 3) * 7, e & 7);
    },
  },
  iq2_xs: {
    scales: [0],
    size: 167,
    error: 0.288,
    element(b, e) {
      const at = (2 + (e >> 3) * 2) * 8;
      const scale = b.f16(0) * (0.5 + b.nibble(66, e >> 4)) * 0.25;
      return scale * (gridOf('iq2_xs')[b.bits(at, 9) * 8 + (e & 7)] ?? 0) * sign(b, at + 9, e & 7);
    },
  },
  iq3_xxs: {
    scales: [0],
    size: 480,
    error: 0.179,
    element(b, e) {
      const at = (66 + (e >> 5) * 4) * 8;
      const scale = b.f16(0) * (0.5 + b.bits(at + 28, 4)) * 0.5;
      const magnitude = gridOf('iq3_xxs')[b.byte(2 + (e >> 2)) * 4 + (e & 3)] ?? 0;
      return scale * magnitude * sign(b, at + ((e >> 3) & 3) * 7, e & 7);
    },
  },
  iq4_nl: {
    scales: [0],
    size: 127,
    error: 0.074,
    isRounded: true,
    element: (b, e) => b.f16(0) * (iq4[b.code32(2, e)] ?? 0),
  },
  iq4_xs: {
    scales: [0],
    size: 4064,
    error: 0.075,
    isRounded: true,
    element(b, e) {
      const group = e >> 5;
      const scale = b.nibble(4, group) + 16 * b.bits(16 + group * 2, 2);
      return b.f16(0) * (scale - 32) * (iq4[b.code32(8 + group * 16, e % 32)] ?? 0);
    },
  },
  mxfp4: {
    scales: [],
    size: 12,
    error: 0.115,
    // The level is at most 12, the factor 2^(byte - 128).
    giveScale(block, target, next) {
      block[0] = 127 + Math.round(Math.log2(target) + 2 * next() - 1);
    },
    element: (b, e) => 2 ** (b.byte(0) - 127) * e2m1(b.code32(1, e)),
  },
  nvfp4: {
    scales: [],
    size: 12,
    // The level is at most 12, the factor half of an E4M3 number.
    giveScale(block, target, next) {
      const exponent = Math.max(0, 7 + Math.round(Math.log2(target) + 2 * next() - 1));
      for (let group = 0; group < 4; group++) block[group] = exponent * 8 + Math.floor(next() * 8);
    },
    element(b, e) {
      return ue4m3(b.byte(e >> 4)) * e2m1(b.nibble(4 + (e >> 4) * 8 + (e & 7), (e >> 3) & 1));
    },
  },
  tq2_0: {
    scales: [64],
    size: 2,
    element: (b, e) => b.f16(64) * (b.bits(((e >> 7) * 32 + (e % 32)) * 8 + ((e >> 5) & 3) * 2, 2) - 1),
  },
  tq1_0: {
    scales: [52],
    size: 1,
    element(b, e) {
      const [first, from, width] = e < 160 ? [0, 0, 32] : e < 240 ? [160, 32, 16] : [240, 48, 4];
      const digit = Math.floor((e - first) / width);
      // The byte is a fraction of 256; what is left of it after `digit` digits of base 3, then the next digit.
      const rest = (b.byte(from + ((e - first) % width)) * 3 ** digit) % 256;
      return b.f16(52) * (Math.floor((rest * 3) / 256) - 1);
    },
  },
  iq2_s: {
    scales: [0],
    size: 167,
    element(b, e) {
      const eight = e >> 3;
      const scale = b.f16(0) * (0.5 + b.nibble(74, e >> 4)) * 0.25;
      const index = b.byte(2 + eight) + 256 * b.bits(66 * 8 + eight * 2, 2);
      return scale * gridOf('iq2_s')[index * 8 + (e & 7)]! * (b.bits(34 * 8 + e, 1) ? -1 : 1);
    },
  },
  iq3_s: {
    scales: [0],
    size: 465,
    element(b, e) {
      const scale = b.f16(0) * (1 + 2 * b.nibble(106, e >> 5));
      const index = b.byte(2 + (e >> 2)) + 256 * b.bits(66 * 8 + (e >> 2), 1);
      return scale * gridOf('iq3_s')[index * 4 + (e & 3)]! * (b.bits(74 * 8 + e, 1) ? -1 : 1);
    },
  },
  iq1_s: {
    scales: [0],
    size: 17,
    element(b, e) {
      const high = (34 + (e >> 5) * 2) * 8;
      const scale = b.f16(0) * (1 + 2 * b.bits(high + 12, 3));
      const index = b.byte(2 + (e >> 3)) + 256 * b.bits(high + ((e >> 3) & 3) * 3, 3);
      return scale * (gridOf('iq1_s')[index * 8 + (e & 7)]! + (b.bits(high + 15, 1) ? -1 : 1) / 8);
    },
  },
  iq1_m: {
    scales: [],
    size: 17,
    // The four quarters of d lie apart.
    giveScale(block, target, next) {
      const bits = (15 + Math.round(Math.log2(target))) * 1024 + Math.floor(next() * 1024);
      for (let i = 0; i < 4; i++) block[49 + i * 2] = (block[49 + i * 2]! & 15) | (((bits >> (i * 4)) & 15) << 4);
    },
    element(b, e) {
      const quarter = (i: number) => b.bits((48 + i * 2) * 8 + 12, 4);
      const d = new Block(Uint8Array.of(quarter(0) + 16 * quarter(1), quarter(2) + 16 * quarter(3))).f16(0);
      const scale = d * (1 + 2 * b.bits((48 + (e >> 6) * 2) * 8 + ((e >> 4) & 3) * 3, 3));
      const high = b.nibble(32, e >> 3);
      const index = b.byte(e >> 3) + 256 * (high & 7);
      return scale * (gridOf('iq1_s')[index * 8 + (e & 7)]! + (high & 8 ? -1 : 1) / 8);
    },
  },
  int4_128: intFormat(4),
  int4_32: intFormat(4),
  int8_128: intFormat(8),
  int8_32: intFormat(8),
  fp4_64: {
    scales: [],
    size: 6,
    // Scales of 1/4 to 4, and some that are subnormal.
    giveScale(block, target, next) {
      const view = new DataView(block.buffer, block.byteOffset);
      view.setFloat32(0, (next() < 0.5 ? -1 : 1) * (target / 4) * (0.5 + next()), true);
      for (let group = 0; group < 4; group++)
        block[4 + group] = next() < 0.1 ? Math.floor(next() * 8) : 40 + Math.floor(next() * 32);
    },
    // The level is doubled, so the scale is halved before it is rounded.
    element: (b, e) =>
      Math.fround((ue4m3(b.byte(4 + (e >> 4))) / 2) * b.f32(0)) * (2 * e2m1(b.code32(8 + (e >> 5) * 16, e % 32))),
  },
};

/** Whether kexa quantises to a type. */
export function isWritten(type: string): boolean {
  return isBlockType(type) && blockFormats[type].error !== undefined;
}

export function isBlockType(type: string): type is QuantizedType {
  return Object.hasOwn(blockFormats, type);
}

/**
 * A grid's entries one after the other, read out of the core's blocks whose factors are all 1. Test quant/blocks judges
 * them.
 */
const grids = new Map<QuantizedType, Float32Array>();
export function gridOf(type: keyof typeof gridBlocks): Float32Array {
  const known = grids.get(type);
  if (known) return known;
  const { dequantize } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node');
  const { entries, length, d, put } = gridBlocks[type];
  const inBlock = 256 / length;
  const { bytes } = blockTypes[type];
  const blocks = new Uint8Array((entries / inBlock) * bytes);
  for (let i = 0; i < entries; i++) {
    const block = blocks.subarray(Math.floor(i / inBlock) * bytes);
    block[1] = d;
    put(block, i % inBlock, i);
  }
  const found = (dequantize(type, blocks, entries * length) as Float32Array).map(Math.round);
  grids.set(type, found);
  return found;
}

/**
 * For each grid: its entries, the length of one, the upper byte of d that makes 1 of every factor, and where an index
 * goes.
 */
const gridBlocks = {
  // The core's elements are an eighth more than the grid's.
  iq1_s: {
    ...{ entries: 2048, length: 8, d: 0x3c },
    put(b, at, i) {
      b[2 + at] = i & 255;
      const [high, shift] = [34 + (at >> 2) * 2, (at & 3) * 3];
      b[high]! |= ((i >> 8) << shift) & 255;
      b[high + 1]! |= ((i >> 8) << shift) >> 8;
    },
  },
  iq2_xxs: { entries: 256, length: 8, d: 0x48, put: (b, at, i) => b.set([i], 2 + (at >> 2) * 8 + (at & 3)) },
  iq2_xs: { entries: 512, length: 8, d: 0x48, put: (b, at, i) => b.set([i & 255, i >> 8], 2 + at * 2) },
  iq2_s: {
    ...{ entries: 1024, length: 8, d: 0x48 },
    put(b, at, i) {
      b[2 + at] = i & 255;
      b[66 + (at >> 2)]! |= (i >> 8) << ((at & 3) * 2);
    },
  },
  iq3_s: {
    ...{ entries: 512, length: 4, d: 0x3c },
    put(b, at, i) {
      b[2 + at] = i & 255;
      b[66 + (at >> 3)]! |= (i >> 8) << (at & 7);
    },
  },
  iq3_xxs: { entries: 256, length: 4, d: 0x44, put: (b, at, i) => b.set([i], 2 + at) },
} satisfies Partial<Record<QuantizedType, GridBlock>>;

interface GridBlock {
  entries: number;
  length: number;
  d: number;
  put(block: Uint8Array, at: number, index: number): void;
}

/** The values of whole blocks, exact in double. */
export function blockValues(type: QuantizedType, bytes: Uint8Array): Float64Array {
  const { elements, bytes: blockBytes } = blockTypes[type];
  const values = new Float64Array((bytes.length / blockBytes) * elements);
  const format = blockFormats[type];
  for (let block = 0; block * elements < values.length; block++) {
    const b = new Block(bytes.subarray(block * blockBytes, (block + 1) * blockBytes));
    for (let e = 0; e < elements; e++) values[block * elements + e] = format.element(b, e);
  }
  return values;
}

/** Any codes, with scales as a quantiser makes them: neither infinite nor NaN, and `size` of them is about one. */
export function randomBlocks(type: QuantizedType, count: number, next: () => number): Uint8Array {
  const { bytes } = blockTypes[type];
  const { scales, size, giveScale } = blockFormats[type];
  const blocks = Uint8Array.from({ length: count * bytes }, () => Math.floor(next() * 256));
  for (let at = 0; at < blocks.length; at += bytes) {
    for (const scale of scales) blocks[at + scale + 1] = 0x20 + Math.floor(next() * 8);
    giveScale?.(blocks.subarray(at, at + bytes), 1 / size, next);
  }
  return blocks;
}

/** Computes the values of GGUF's blocks, element by element, from the format's definition. Tests compare with them. */
import { createRequire } from 'node:module';
import type { QuantizedType } from '../../lib/description.js';
import { blockTypes } from '../../lib/files/gguf/gguf-types.js';

const normalLevels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const floatLevels = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

/** Reads a block. Returns a function that gives its element i. */
type Reader = (bytes: Uint8Array) => (i: number) => number;

const f16 = (bytes: Uint8Array, at: number): number => {
  const bits = bytes[at]! | (bytes[at + 1]! << 8);
  const fraction = bits & 1023;
  const exponent = (bits >> 10) & 31;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
};
const signed = (byte: number): number => (byte << 24) >> 24;
/** Element i of 32 in the halves of 16 bytes. */
const half = (bytes: Uint8Array, at: number, i: number): number => (bytes[at + (i % 16)]! >> (i < 16 ? 0 : 4)) & 15;
/** Element i of 256 in two bits of 64 bytes. Each half of 128 elements has four runs of 32 in the same 32 bytes. */
const two = (bytes: Uint8Array, at: number, i: number): number =>
  (bytes[at + (i >> 7) * 32 + (i % 32)]! >> (((i >> 5) & 3) * 2)) & 3;
/** Element i of 256 in the halves of 128 bytes. Of each 64 elements the first 32 are in the low halves. */
const four = (bytes: Uint8Array, at: number, i: number): number =>
  (bytes[at + (i >> 6) * 32 + (i % 32)]! >> (i & 32 ? 4 : 0)) & 15;
/** The 6-bit scale and minimum of a run of 32, from the twelve bytes that begin at byte 4. */
function sixes(bytes: Uint8Array, run: number): [number, number] {
  const at = (i: number) => bytes[4 + i]!;
  if (run < 4) return [at(run) & 63, at(run + 4) & 63];
  return [(at(run + 4) & 15) | ((at(run - 4) >> 6) << 4), (at(run + 4) >> 4) | ((at(run) >> 6) << 4)];
}

const readers: Record<QuantizedType, Reader> = {
  q8_0: (b) => (i) => f16(b, 0) * signed(b[2 + i]!),
  q4_0: (b) => (i) => f16(b, 0) * (half(b, 2, i) - 8),
  q4_1: (b) => (i) => f16(b, 0) * half(b, 4, i) + f16(b, 2),
  q5_1: (b) => (i) => f16(b, 0) * (half(b, 8, i) | (((b[4 + (i >> 3)]! >> (i & 7)) & 1) << 4)) + f16(b, 2),
  q5_0: (b) => (i) => f16(b, 0) * ((half(b, 6, i) | (((b[2 + (i >> 3)]! >> (i & 7)) & 1) << 4)) - 16),
  iq4_nl: (b) => (i) => f16(b, 0) * normalLevels[half(b, 2, i)]!,
  mxfp4: (b) => (i) => {
    const code = half(b, 1, i);
    return 2 ** (b[0]! - 127) * floatLevels[code & 7]! * (code & 8 ? -1 : 1);
  },
  q2_k: (b) => (i) => {
    const scales = b[i >> 4]!;
    return f16(b, 80) * (scales & 15) * two(b, 16, i) - f16(b, 82) * (scales >> 4);
  },
  q3_k: (b) => (i) => {
    const run = i >> 4;
    const low = (b[96 + (run % 8)]! >> (run < 8 ? 0 : 4)) & 15;
    const high = (b[104 + (run % 4)]! >> ((run >> 2) * 2)) & 3;
    const third = (b[i % 32]! >> (i >> 5)) & 1;
    return f16(b, 108) * ((low | (high << 4)) - 32) * (two(b, 32, i) - (third ? 0 : 4));
  },
  q4_k: (b) => (i) => {
    const [scale, least] = sixes(b, i >> 5);
    return f16(b, 0) * scale * four(b, 16, i) - f16(b, 2) * least;
  },
  q5_k: (b) => (i) => {
    const [scale, least] = sixes(b, i >> 5);
    const fifth = (b[16 + (i % 32)]! >> (i >> 5)) & 1;
    return f16(b, 0) * scale * (four(b, 48, i) | (fifth << 4)) - f16(b, 2) * least;
  },
  q6_k: (b) => (i) => {
    const within = i % 128;
    const low = (b[(i >> 7) * 64 + (within % 64)]! >> (within < 64 ? 0 : 4)) & 15;
    const high = (b[128 + (i >> 7) * 32 + (i % 32)]! >> ((within >> 5) * 2)) & 3;
    return f16(b, 208) * signed(b[192 + (i >> 4)]!) * ((low | (high << 4)) - 32);
  },
  iq2_xxs: (b) => (i) => {
    const at = 2 + (i >> 5) * 8;
    const eight = (i >> 3) & 3;
    const packed = u32(b, at + 4);
    const scale = f16(b, 0) * (0.5 + (packed >>> 28)) * 0.25;
    return (
      scale * gridEntries('iq2_xxs')[b[at + eight]! * 8 + (i & 7)]! * signOf((packed >>> (7 * eight)) & 127, i & 7)
    );
  },
  iq2_xs: (b) => (i) => {
    const at = 2 + (i >> 3) * 2;
    const packed = b[at]! | (b[at + 1]! << 8);
    const scale = f16(b, 0) * (0.5 + ((b[66 + (i >> 5)]! >> (((i >> 4) & 1) * 4)) & 15)) * 0.25;
    return scale * gridEntries('iq2_xs')[(packed & 511) * 8 + (i & 7)]! * signOf(packed >> 9, i & 7);
  },
  iq3_xxs: (b) => (i) => {
    const packed = u32(b, 66 + (i >> 5) * 4);
    const scale = f16(b, 0) * (0.5 + (packed >>> 28)) * 0.5;
    const sign = signOf((packed >>> (7 * ((i >> 3) & 3))) & 127, i & 7);
    return scale * gridEntries('iq3_xxs')[b[2 + (i >> 2)]! * 4 + (i & 3)]! * sign;
  },
  iq4_xs: (b) => (i) => {
    const run = i >> 5;
    const low = (b[4 + (run >> 1)]! >> (run & 1 ? 4 : 0)) & 15;
    const high = ((b[2]! | (b[3]! << 8)) >> (2 * run)) & 3;
    return f16(b, 0) * ((low | (high << 4)) - 32) * normalLevels[half(b, 8 + run * 16, i % 32)]!;
  },
};

/** The sign of element `i` of eight. Seven signs are stored; the eighth is minus if the stored minuses are odd in number. */
const signOf = (stored: number, i: number): number => {
  let parity = 0;
  for (let bit = 0; bit < 7; bit++) parity ^= (stored >> bit) & 1;
  return (i < 7 ? (stored >> i) & 1 : parity) ? -1 : 1;
};
const u32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;

type GridType = 'iq2_xxs' | 'iq2_xs' | 'iq3_xxs';
const grids = new Map<GridType, Float32Array>();

/**
 * A grid's entries, one after the other. They are the core's own, read from blocks whose factors are all 1. Test quant/blocks
 * compares them with the published ones.
 */
export function gridEntries(type: GridType): Float32Array {
  const known = grids.get(type);
  if (known !== undefined) return known;
  const { dequantize } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node');
  const [entries, length] = type === 'iq3_xxs' ? [256, 4] : [type === 'iq2_xs' ? 512 : 256, 8];
  const { bytes } = blockTypes[type];
  const blocks = new Uint8Array((entries * length * bytes) / 256);
  for (let i = 0; i < entries; i++) {
    const at = Math.floor((i * length) / 256) * bytes;
    const within = i % (256 / length);
    blocks[at + 1] = type === 'iq3_xxs' ? 0x44 : 0x48;
    if (type === 'iq2_xs') blocks.set([i & 255, i >> 8], at + 2 + within * 2);
    else blocks[at + 2 + (type === 'iq3_xxs' ? within : (within >> 2) * 8 + (within & 3))] = i;
  }
  const found = dequantize(type, blocks, entries * length) as Float32Array;
  grids.set(type, found);
  return found;
}

/** The values of whole blocks, exact in double. */
export function blockValues(type: QuantizedType, bytes: Uint8Array): Float64Array {
  const { elements, bytes: blockBytes } = blockTypes[type];
  const values = new Float64Array((bytes.length / blockBytes) * elements);
  for (let block = 0; block * elements < values.length; block++) {
    const value = readers[type](bytes.subarray(block * blockBytes, (block + 1) * blockBytes));
    for (let i = 0; i < elements; i++) values[block * elements + i] = value(i);
  }
  return values;
}

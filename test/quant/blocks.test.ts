// The values of GGUF's blocks, compared with a decoder of the test's own: element by element, bit by bit, from the
// format's formulas.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import test from 'tape';
import { isSame, randomNumbers } from '../support/compare.js';

const { dequantize, multiply } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node') as {
  dequantize(type: string, blocks: Uint8Array, elements: number): Float32Array;
  multiply(
    type: string,
    weights: Uint8Array,
    outputs: number,
    columns: number,
    x: Float32Array,
    rows: number,
  ): Float32Array;
};
const f32 = Math.fround;

/** One block: bit n is bit n % 8 of byte n / 8. */
class Block {
  constructor(readonly bytes: Uint8Array) {}
  bits(first: number, count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) value += (((this.bytes[(first + i) >> 3] ?? 0) >> ((first + i) & 7)) & 1) * 2 ** i;
    return value;
  }
  byte = (at: number) => this.bits(at * 8, 8);
  /** Nibble n of the bytes from `at` on, the lower half of a byte first. */
  nibble = (at: number, n: number) => this.bits(at * 8 + n * 4, 4);
  signed = (at: number) => this.byte(at) - (this.bits(at * 8 + 7, 1) ? 256 : 0);
  f16(at: number): number {
    const sign = this.bits(at * 8 + 15, 1) ? -1 : 1;
    const exponent = this.bits(at * 8 + 10, 5);
    const fraction = this.bits(at * 8, 10);
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
  }
  /** The code of element e in blocks of 32: the lower halves of 16 bytes, then their upper halves. */
  code32 = (at: number, e: number) => this.bits((at + (e % 16)) * 8 + (e < 16 ? 0 : 4), 4);
}

const iq4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const e2m1 = (code: number) => {
  const exponent = (code >> 1) & 3;
  const magnitude = exponent ? 2 ** (exponent - 1) * (1 + (code & 1) / 2) : (code & 1) / 2;
  return code >= 8 && magnitude ? -magnitude : magnitude;
};

/** Scale and minimum of a group in q4_k and q5_k: 6 bits each, in the 12 bytes from byte 4 on. */
function scaleAndMin(b: Block, group: number): [number, number] {
  if (group < 4) return [b.bits((4 + group) * 8, 6), b.bits((8 + group) * 8, 6)];
  const lower = (half: number) => b.nibble(12, (group - 4) * 2 + half);
  return [lower(0) + 16 * b.bits(group * 8 + 6, 2), lower(1) + 16 * b.bits((4 + group) * 8 + 6, 2)];
}
function affine(b: Block, group: number, code: number): number {
  const [scale, min] = scaleAndMin(b, group);
  return f32(f32(f32(b.f16(0) * scale) * code) - f32(b.f16(2) * min));
}

/** Sign k of 8: seven are stored, the eighth makes the minuses an even number. */
function sign(b: Block, first: number, k: number): number {
  if (k < 7) return b.bits(first + k, 1) ? -1 : 1;
  let product = 1;
  for (let i = 0; i < 7; i++) product *= b.bits(first + i, 1) ? -1 : 1;
  return product;
}

interface Format {
  type: string;
  elements: number;
  bytes: number;
  /** Where its f16 scales are. */
  scales: number[];
  element(b: Block, e: number): number;
}

const formats: Format[] = [
  { type: 'q8_0', elements: 32, bytes: 34, scales: [0], element: (b, e) => f32(b.f16(0) * b.signed(2 + e)) },
  { type: 'q4_0', elements: 32, bytes: 18, scales: [0], element: (b, e) => f32(b.f16(0) * (b.code32(2, e) - 8)) },
  {
    type: 'q4_1',
    elements: 32,
    bytes: 20,
    scales: [0, 2],
    element: (b, e) => f32(f32(b.f16(0) * b.code32(4, e)) + b.f16(2)),
  },
  {
    type: 'q5_0',
    elements: 32,
    bytes: 22,
    scales: [0],
    element: (b, e) => f32(b.f16(0) * (b.code32(6, e) + 16 * b.bits(16 + e, 1) - 16)),
  },
  {
    type: 'q5_1',
    elements: 32,
    bytes: 24,
    scales: [0, 2],
    element: (b, e) => f32(f32(b.f16(0) * (b.code32(8, e) + 16 * b.bits(32 + e, 1))) + b.f16(2)),
  },
  {
    type: 'q2_k',
    elements: 256,
    bytes: 84,
    scales: [80, 82],
    element(b, e) {
      const code = b.bits((16 + (e >> 7) * 32 + (e % 32)) * 8 + ((e >> 5) & 3) * 2, 2);
      const [scale, min] = [b.nibble(0, (e >> 4) * 2), b.nibble(0, (e >> 4) * 2 + 1)];
      return f32(f32(f32(b.f16(80) * scale) * code) - f32(b.f16(82) * min));
    },
  },
  {
    type: 'q3_k',
    elements: 256,
    bytes: 110,
    scales: [108],
    element(b, e) {
      const lower = b.bits((32 + (e >> 7) * 32 + (e % 32)) * 8 + ((e >> 5) & 3) * 2, 2);
      const code = lower - (b.bits((e % 32) * 8 + (e >> 5), 1) ? 0 : 4);
      const group = e >> 4;
      const scale =
        b.bits((96 + (group % 8)) * 8 + (group < 8 ? 0 : 4), 4) +
        16 * b.bits((104 + (group % 4)) * 8 + (group >> 2) * 2, 2);
      return f32(f32(b.f16(108) * (scale - 32)) * code);
    },
  },
  {
    type: 'q4_k',
    elements: 256,
    bytes: 144,
    scales: [0, 2],
    element: (b, e) => affine(b, e >> 5, b.bits((16 + (e >> 6) * 32 + (e % 32)) * 8 + ((e >> 5) & 1) * 4, 4)),
  },
  {
    type: 'q5_k',
    elements: 256,
    bytes: 176,
    scales: [0, 2],
    element(b, e) {
      const lower = b.bits((48 + (e >> 6) * 32 + (e % 32)) * 8 + ((e >> 5) & 1) * 4, 4);
      return affine(b, e >> 5, lower + 16 * b.bits((16 + (e % 32)) * 8 + (e >> 5), 1));
    },
  },
  {
    type: 'q6_k',
    elements: 256,
    bytes: 210,
    scales: [208],
    element(b, e) {
      const lower = b.bits(((e >> 7) * 64 + (e % 64)) * 8 + ((e >> 6) & 1) * 4, 4);
      const upper = b.bits((128 + (e >> 7) * 32 + (e % 32)) * 8 + ((e >> 5) & 3) * 2, 2);
      return f32(f32(b.f16(208) * b.signed(192 + (e >> 4))) * (lower + 16 * upper - 32));
    },
  },
  {
    type: 'iq4_nl',
    elements: 32,
    bytes: 18,
    scales: [0],
    element: (b, e) => f32(b.f16(0) * (iq4[b.code32(2, e)] ?? 0)),
  },
  {
    type: 'iq4_xs',
    elements: 256,
    bytes: 136,
    scales: [0],
    element(b, e) {
      const group = e >> 5;
      const scale = b.nibble(4, group) + 16 * b.bits(16 + group * 2, 2);
      return f32(f32(b.f16(0) * (scale - 32)) * (iq4[b.code32(8 + group * 16, e % 32)] ?? 0));
    },
  },
  {
    type: 'mxfp4',
    elements: 32,
    bytes: 17,
    scales: [],
    element: (b, e) => f32(2 ** (b.byte(0) - 127) * e2m1(b.code32(1, e))),
  },
  {
    type: 'iq2_xxs',
    elements: 256,
    bytes: 66,
    scales: [0],
    element(b, e) {
      const at = 2 + (e >> 5) * 8;
      const scale = f32(f32(b.f16(0) * (0.5 + b.bits(at * 8 + 60, 4))) * 0.25);
      const magnitude = grid('iq2_xxs')[b.byte(at + ((e >> 3) & 3)) * 8 + (e & 7)] ?? 0;
      return f32(scale * magnitude) * sign(b, (at + 4) * 8 + ((e >> 3) & 3) * 7, e & 7);
    },
  },
  {
    type: 'iq2_xs',
    elements: 256,
    bytes: 74,
    scales: [0],
    element(b, e) {
      const at = (2 + (e >> 3) * 2) * 8;
      const scale = f32(f32(b.f16(0) * (0.5 + b.nibble(66, e >> 4))) * 0.25);
      return f32(scale * (grid('iq2_xs')[b.bits(at, 9) * 8 + (e & 7)] ?? 0)) * sign(b, at + 9, e & 7);
    },
  },
  {
    type: 'iq3_xxs',
    elements: 256,
    bytes: 98,
    scales: [0],
    element(b, e) {
      const at = (66 + (e >> 5) * 4) * 8;
      const scale = f32(f32(b.f16(0) * (0.5 + b.bits(at + 28, 4))) * 0.5);
      const magnitude = grid('iq3_xxs')[b.byte(2 + (e >> 2)) * 4 + (e & 3)] ?? 0;
      return f32(scale * magnitude) * sign(b, at + ((e >> 3) & 3) * 7, e & 7);
    },
  },
];

/** A grid's entries one after the other, read out of blocks whose scales make 1 of every factor; judged below. */
const grids = new Map<string, Uint8Array>();
function grid(type: string): Uint8Array {
  const known = grids.get(type);
  if (known) return known;
  const { entries, bytes, length, d, place } = {
    iq2_xxs: { entries: 256, bytes: 66, length: 8, d: 0x48, place: (i: number) => 2 + (i >> 2) * 8 + (i & 3) },
    iq2_xs: { entries: 512, bytes: 74, length: 8, d: 0x48, place: (i: number) => 2 + i * 2 },
    iq3_xxs: { entries: 256, bytes: 98, length: 4, d: 0x44, place: (i: number) => 2 + i },
  }[type] ?? { entries: 0, bytes: 0, length: 1, d: 0, place: () => 0 };
  const inBlock = 256 / length;
  const blocks = new Uint8Array((entries / inBlock) * bytes);
  for (let i = 0; i < entries; i++) {
    const block = Math.floor(i / inBlock) * bytes;
    blocks[block + 1] = d;
    const at = block + place(i % inBlock);
    blocks[at] = i & 255;
    if (entries > 256) blocks[at + 1] = i >> 8;
  }
  const entriesOf = Uint8Array.from(dequantize(type, blocks, entries * length));
  grids.set(type, entriesOf);
  return entriesOf;
}

function randomBlocks(format: Format, count: number, seed: number): Uint8Array {
  const next = randomNumbers(seed);
  const blocks = Uint8Array.from({ length: count * format.bytes }, () => Math.floor(next() * 256));
  // Scales as a quantiser makes them: neither infinite nor NaN.
  for (let block = 0; block < count; block++) {
    for (const at of format.scales) blocks[block * format.bytes + at + 1] = 0x20 + Math.floor(next() * 8);
    if (format.type === 'mxfp4') blocks[block * format.bytes] = 118 + Math.floor(next() * 8);
  }
  return blocks;
}

/** Elements that are not the same number: 0 and -0 differ, NaNs do not. */
function differences(format: Format, blocks: Uint8Array): number {
  const count = blocks.length / format.bytes;
  const found = dequantize(format.type, blocks, count * format.elements);
  let different = 0;
  for (let block = 0; block < count; block++) {
    const b = new Block(blocks.subarray(block * format.bytes, (block + 1) * format.bytes));
    for (let e = 0; e < format.elements; e++)
      if (!Object.is(found[block * format.elements + e], format.element(b, e))) different++;
  }
  return different;
}

test('the grids are the published ones', (t) => {
  const published = [
    ['iq2_xxs', 8, [8, 25, 43], '05826b5d3e472a3a78f196be62ac78acf81df0f909626e12ab9fa2a5d490dd54'],
    ['iq2_xs', 8, [8, 25, 43], '06e47aaca60b4dc1d9b5a3f34540437058a6b142b4d7a59d5ded769b4d1bf1de'],
    ['iq3_xxs', 4, [4, 12, 20, 28, 36, 44, 52, 62], '46e35f5a997efdee6c99ce57854c8a0d4f0ff8ca57e5e8a60c0793ea580acf5d'],
  ] as const;
  for (const [type, length, values, checksum] of published) {
    const bytes = grid(type);
    t.equal(createHash('sha256').update(bytes).digest('hex'), checksum, `${type}: its checksum`);
    const entries = Array.from({ length: bytes.length / length }, (_, i) => [
      ...bytes.subarray(i * length, (i + 1) * length),
    ]);
    t.deepEqual(
      [...new Set(bytes)].sort((a, b) => a - b),
      values,
      `${type}: its magnitudes`,
    );
    t.equal(new Set(entries.map(String)).size, entries.length, `${type}: no entry twice`);
    if (length === 8) {
      const odd = entries.filter((entry) => entry.filter((value) => value === 25).length % 2);
      t.equal(odd.length, 0, `${type}: points of the lattice E8 have an even number of threes`);
    }
  }
  // Entries 1 and 11 as the format spells them, the last element first: 0x080808080808082b, 0x0808080819080819.
  t.deepEqual([...grid('iq2_xxs').subarray(8, 16)], [43, 8, 8, 8, 8, 8, 8, 8]);
  t.deepEqual([...grid('iq2_xxs').subarray(88, 96)], [25, 8, 8, 25, 8, 8, 8, 8]);
  t.end();
});

for (const format of formats) {
  test(`${format.type}: every element is what the format says`, (t) => {
    t.equal(differences(format, randomBlocks(format, 200, 1)), 0, 'random blocks');
    const hostile: Uint8Array[] = [];
    // Any bytes at all; then each special scale with random codes, with codes of zeros and with codes of ones.
    const next = randomNumbers(2);
    for (let i = 0; i < 200; i++)
      hostile.push(Uint8Array.from({ length: format.bytes }, () => Math.floor(next() * 256)));
    const specials = [0x7c00, 0xfc00, 0x7e00, 0x7c01, 0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x7bff, 0xfbff];
    for (const fill of [-1, 0, 255])
      for (const special of format.scales.length ? specials : [0, 1, 2, 254, 255]) {
        const block = Uint8Array.from({ length: format.bytes }, () => (fill < 0 ? Math.floor(next() * 256) : fill));
        if (!format.scales.length) block[0] = special;
        for (const at of format.scales) {
          block[at] = special & 255;
          block[at + 1] = special >> 8;
        }
        hostile.push(block);
      }
    t.equal(differences(format, new Uint8Array(Buffer.concat(hostile))), 0, 'infinite, NaN, zero and subnormal scales');
    t.end();
  });

  test(`${format.type}: a product is that of the weights in f32, to the bit, in any company`, (t) => {
    const [outputs, rows] = [7, 18];
    for (const columns of [format.elements, 1280]) {
      const weights = randomBlocks(format, (outputs * columns) / format.elements, 3);
      const next = randomNumbers(4);
      const x = Float32Array.from({ length: rows * columns }, () => next() - 0.5);
      const plain = dequantize(format.type, weights, outputs * columns);
      const wanted = multiply('f32', new Uint8Array(plain.buffer), outputs, columns, x, rows);
      t.ok(wanted.every(Number.isFinite), `${columns} columns: the products are numbers`);
      t.ok(isSame(multiply(format.type, weights, outputs, columns, x, rows), wanted), `${rows} rows together`);
      for (const row of [0, 17]) {
        const alone = multiply(format.type, weights, outputs, columns, x.slice(row * columns, (row + 1) * columns), 1);
        t.ok(isSame(alone, wanted.slice(row * outputs, (row + 1) * outputs)), `row ${row} alone`);
      }
    }
    t.end();
  });
}

test('what is no whole block is refused', (t) => {
  t.throws(() => dequantize('q4_k', new Uint8Array(144), 128), /whole blocks/);
  t.throws(() => dequantize('q8_0', new Uint8Array(33), 32), /whole blocks/);
  t.throws(() => dequantize('f16', new Uint8Array(2), 1), /no blocks hold f16/);
  t.throws(() => dequantize('q9_k', new Uint8Array(2), 1), /q9_k/);
  t.end();
});

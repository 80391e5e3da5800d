// The values of GGUF's blocks: the core's readers and products, compared with the tests' own decoder.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import test from 'tape';
import type { QuantizedType } from '../../lib/description.js';
import { blockTypes, quantizedNames } from '../../lib/files/gguf/gguf-types.js';
import { blockFormats, blockValues, gridOf, randomBlocks } from '../support/block-formats.js';
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
/** Elements that are not the same number: 0 and -0 differ, NaNs do not. */
function differences(type: QuantizedType, blocks: Uint8Array): number {
  const wanted = blockValues(type, blocks);
  const found = dequantize(type, blocks, wanted.length);
  let different = 0;
  for (const [i, value] of wanted.entries()) if (!Object.is(found[i], Math.fround(value))) different++;
  return different;
}

test('the grids are the published ones', (t) => {
  const published = [
    ['iq2_xxs', 8, [8, 25, 43], '05826b5d3e472a3a78f196be62ac78acf81df0f909626e12ab9fa2a5d490dd54'],
    ['iq2_xs', 8, [8, 25, 43], '06e47aaca60b4dc1d9b5a3f34540437058a6b142b4d7a59d5ded769b4d1bf1de'],
    ['iq3_xxs', 4, [4, 12, 20, 28, 36, 44, 52, 62], '46e35f5a997efdee6c99ce57854c8a0d4f0ff8ca57e5e8a60c0793ea580acf5d'],
    ['iq2_s', 8, [8, 25, 43], 'e1aa1473412b0552c2174c30ef22ab4073f6a181b85a17056e8249bd2932fd88'],
    ['iq3_s', 4, [1, 3, 5, 7, 9, 11, 13, 15], 'bd1af4945a1717c65610b0284e4628b9a1ba3b306fae3a06f6e5f597356e349f'],
    ['iq1_s', 8, [0, 1, 255], '07540ffc1aeaf6ad4d97e96b0fcc765aae39671d4ae4a27bbd0e796fde167c6a'],
  ] as const;
  for (const [type, length, values, checksum] of published) {
    const bytes = Uint8Array.from(gridOf(type));
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
    if (type.startsWith('iq2')) {
      const odd = entries.filter((entry) => entry.filter((value) => value === 25).length % 2);
      t.equal(odd.length, 0, `${type}: points of the lattice E8 have an even number of threes`);
    }
  }
  // Entries 1 and 11 as the format spells them, the last element first: 0x080808080808082b, 0x0808080819080819.
  t.deepEqual([...gridOf('iq2_xxs').subarray(8, 16)], [43, 8, 8, 8, 8, 8, 8, 8]);
  t.deepEqual([...gridOf('iq2_xxs').subarray(88, 96)], [25, 8, 8, 25, 8, 8, 8, 8]);
  t.end();
});

for (const type of quantizedNames) {
  const { elements, bytes } = blockTypes[type];
  const { scales } = blockFormats[type];
  test(`${type}: every element is what the format says`, (t) => {
    t.equal(differences(type, randomBlocks(type, 200, randomNumbers(1))), 0, 'random blocks');
    const hostile: Uint8Array[] = [];
    // Any bytes at all; then each special scale with random codes, with codes of zeros and with codes of ones.
    const next = randomNumbers(2);
    for (let i = 0; i < 200; i++) hostile.push(Uint8Array.from({ length: bytes }, () => Math.floor(next() * 256)));
    const specials = [0x7c00, 0xfc00, 0x7e00, 0x7c01, 0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x7bff, 0xfbff];
    for (const fill of [-1, 0, 255])
      for (const special of scales.length ? specials : [0, 1, 2, 254, 255]) {
        const block = Uint8Array.from({ length: bytes }, () => (fill < 0 ? Math.floor(next() * 256) : fill));
        if (!scales.length) block[0] = special;
        for (const at of scales) {
          block[at] = special & 255;
          block[at + 1] = special >> 8;
        }
        hostile.push(block);
      }
    t.equal(differences(type, new Uint8Array(Buffer.concat(hostile))), 0, 'infinite, NaN, zero and subnormal scales');
    t.end();
  });

  test(`${type}: a product is that of the weights in f32, to the bit, in any company`, (t) => {
    const [outputs, rows] = [7, 18];
    for (const columns of [elements, 1280]) {
      const weights = randomBlocks(type, (outputs * columns) / elements, randomNumbers(3));
      const next = randomNumbers(4);
      const x = Float32Array.from({ length: rows * columns }, () => next() - 0.5);
      const plain = dequantize(type, weights, outputs * columns);
      const wanted = multiply('f32', new Uint8Array(plain.buffer), outputs, columns, x, rows);
      t.ok(wanted.every(Number.isFinite), `${columns} columns: the products are numbers`);
      t.ok(isSame(multiply(type, weights, outputs, columns, x, rows), wanted), `${rows} rows together`);
      for (const row of [0, 17]) {
        const alone = multiply(type, weights, outputs, columns, x.slice(row * columns, (row + 1) * columns), 1);
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
